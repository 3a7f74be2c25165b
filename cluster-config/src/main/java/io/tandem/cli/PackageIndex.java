package io.tandem.cli;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Fetches a wheel from a Python package index without pip, for machines that have none (the JSON form of the Simple
 * Repository API, PEP 691). Takes the index from PIP_INDEX_URL or pip's own configuration files, so that mirrors work.
 */
final class PackageIndex {
    private static final String DEFAULT_INDEX = "https://pypi.org/simple";
    private static final String ACCEPT = "application/vnd.pypi.simple.v1+json";
    private static final Pattern INDEX_URL = Pattern.compile("^\\s*index-url\\s*=\\s*(\\S+)\\s*$");
    private static final long MAX_WHEEL_BYTES = 4L << 30;
    private static final int BAR_STEPS = 40;

    private final URI index;
    private final HttpClient http = HttpClient.newBuilder()
            .followRedirects(HttpClient.Redirect.NORMAL)
            .connectTimeout(Duration.ofSeconds(20))
            .build();

    PackageIndex(URI index) {
        this.index = index;
    }

    /** The index this machine's pip would use. */
    static PackageIndex ofThisMachine(Map<String, String> environment, Path home) throws IOException {
        return new PackageIndex(URI.create(indexUrl(environment, home).replaceAll("/+$", "")));
    }

    static String indexUrl(Map<String, String> environment, Path home) throws IOException {
        String given = environment.getOrDefault("PIP_INDEX_URL", "");
        if (!given.isBlank()) {
            return given;
        }
        for (Path file : List.of(
                Path.of(environment.getOrDefault("PIP_CONFIG_FILE", "pip.conf.none")),
                home.resolve(".config/pip/pip.conf"),
                home.resolve(".pip/pip.conf"),
                Path.of("/etc/pip.conf"))) {
            if (Files.isReadable(file)) {
                for (String line : Files.readAllLines(file)) {
                    Matcher matcher = INDEX_URL.matcher(line);
                    if (matcher.matches()) {
                        return matcher.group(1);
                    }
                }
            }
        }
        return DEFAULT_INDEX;
    }

    /**
     * Downloads the wheel of a project's version into a folder, with a progress bar on standard error.
     *
     * @throws IOException when the index cannot be reached or does not have it
     */
    Path download(String project, String version, Path into) throws IOException, InterruptedException {
        URI page = URI.create(index + "/" + project + "/");
        HttpResponse<String> listing = http.send(
                HttpRequest.newBuilder(page)
                        .header("Accept", ACCEPT)
                        .timeout(Duration.ofSeconds(60))
                        .build(),
                HttpResponse.BodyHandlers.ofString());
        if (listing.statusCode() != 200) {
            throw new IOException(page + " answers " + listing.statusCode());
        }
        String prefix = project.replace('-', '_') + "-" + version + "-";
        for (JsonNode file : ApiClient.JSON.readTree(listing.body()).path("files")) {
            String name = file.path("filename").asText();
            if (name.startsWith(prefix) && name.endsWith(".whl") && name.indexOf('/') < 0) {
                Path target = into.resolve(name);
                fetch(page.resolve(file.path("url").asText()), target);
                return target;
            }
        }
        throw new IOException(page + " has no wheel of version " + version);
    }

    private void fetch(URI url, Path target) throws IOException, InterruptedException {
        HttpResponse<InputStream> response =
                http.send(HttpRequest.newBuilder(url).build(), HttpResponse.BodyHandlers.ofInputStream());
        try (InputStream in = response.body();
                OutputStream out = Files.newOutputStream(target)) {
            if (response.statusCode() != 200) {
                throw new IOException(url + " answers " + response.statusCode());
            }
            long total = response.headers().firstValueAsLong("content-length").orElse(-1);
            copy(in, out, total);
        }
    }

    private static void copy(InputStream in, OutputStream out, long total) throws IOException {
        byte[] buffer = new byte[1 << 16];
        long done = 0;
        int shown = -1;
        for (int n = in.read(buffer); n > 0; n = in.read(buffer)) {
            out.write(buffer, 0, n);
            done += n;
            if (done > MAX_WHEEL_BYTES) {
                throw new IOException("the index sends more than " + MAX_WHEEL_BYTES + " bytes");
            }
            int step = total > 0 ? (int) (done * BAR_STEPS / total) : 0;
            if (step != shown) {
                shown = step;
                System.err.printf("\r  [%-40s] %d MB", "#".repeat(step), done / 1_000_000);
            }
        }
        System.err.println();
    }
}
