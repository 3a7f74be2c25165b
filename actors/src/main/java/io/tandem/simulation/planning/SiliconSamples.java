package io.tandem.simulation.planning;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads measured serving runs from aiconfigurator's {@code silicon_sample.csv} (Apache-2.0) or rows of it. */
public final class SiliconSamples {
    private static final Pattern CONCURRENCY = Pattern.compile("silicon_concurrency=(\\d+)");

    private final List<ServingPoint> points = new ArrayList<>();
    private int withoutLayout;
    private int unknown;

    private SiliconSamples() {}

    /**
     * @throws IllegalArgumentException when a column is missing or a field is no number, naming line and column
     */
    public static SiliconSamples read(Path file) throws IOException {
        List<String> lines = Files.readAllLines(file);
        if (lines.isEmpty()) {
            throw new IllegalArgumentException(file + " is empty: a header line and rows are expected");
        }
        Map<String, Integer> columns = new HashMap<>();
        String[] header = lines.getFirst().split(",", -1);
        for (int i = 0; i < header.length; i++) {
            columns.put(header[i], i);
        }
        SiliconSamples samples = new SiliconSamples();
        for (int n = 1; n < lines.size(); n++) {
            String[] cells = lines.get(n).split(",", -1);
            if (cells.length != header.length) {
                throw new IllegalArgumentException(
                        file + ":" + (n + 1) + " has " + cells.length + " fields, the header " + header.length);
            }
            samples.add(new Row(file, n + 1, columns, cells));
        }
        return samples;
    }

    /** The runs that say what ran where. */
    public List<ServingPoint> points() {
        return List.copyOf(points);
    }

    /** Runs on several workers whose number is not in the file, so that nobody knows their batch. */
    public int withoutLayout() {
        return withoutLayout;
    }

    /** Runs of a model or GPU that is not known. */
    public int unknown() {
        return unknown;
    }

    private void add(Row row) {
        boolean split = row.text("mode").equals("disagg");
        if (split && row.text("decode_num_workers").isEmpty()) {
            withoutLayout++;
            return;
        }
        Matcher concurrency = CONCURRENCY.matcher(row.text("silicon_data_source"));
        double inFlight = concurrency.find() ? Double.parseDouble(concurrency.group(1)) : row.number("batch_size", 0);
        if (inFlight <= 0) {
            withoutLayout++;
            return;
        }
        try {
            points.add(point(row, split, inFlight));
        } catch (UnknownName e) {
            unknown++;
        }
    }

    private static ServingPoint point(Row row, boolean split, double inFlight) throws UnknownName {
        String own = split ? "decode_" : "";
        String prompts = split ? "prefill_" : "";
        String products = row.text("gemm_quant_mode");
        String experts = row.text("moe_quant_mode");
        Precision precision = Precision.of(products.isEmpty() ? row.text("precision") : products);
        return new ServingPoint(
                row.text("backend"),
                row.text("backend_version"),
                row.model(),
                row.gpu(),
                precision,
                experts.isEmpty() ? precision : Precision.of(experts),
                split,
                (int) row.number("isl", 1),
                (int) row.number("osl", 1),
                inFlight,
                split ? row.number("prefill_num_workers", 1) : 1,
                row.gpus(prompts),
                split ? row.number("decode_num_workers", 1) : 1,
                row.gpus(own),
                row.number(own + "attention_dp_size", 1),
                Math.max(1, row.number(own + "moe_ep_size", 1)),
                row.number("silicon_ttft_ms", 0),
                row.number("silicon_tpot_ms", 0));
    }

    private static final class UnknownName extends Exception {
        private static final long serialVersionUID = 1;

        UnknownName(IllegalArgumentException cause) {
            super(cause);
        }
    }

    private record Row(Path file, int line, Map<String, Integer> columns, String[] cells) {
        String text(String column) {
            Integer at = columns.get(column);
            if (at == null) {
                throw new IllegalArgumentException(file + " has no column '" + column + "'");
            }
            return cells[at];
        }

        double number(String column, double absent) {
            String text = text(column);
            try {
                return text.isEmpty() ? absent : Double.parseDouble(text);
            } catch (NumberFormatException e) {
                throw new IllegalArgumentException(
                        file + ":" + line + ": '" + text + "' in column " + column + " is no number", e);
            }
        }

        /** GPUs of a replica: those of its attention or those of its experts, whichever are more. */
        double gpus(String prefix) {
            double attention = number(prefix + "tp_size", 1) * number(prefix + "pp_size", 1);
            double experts = number(prefix + "moe_tp_size", 1) * Math.max(1, number(prefix + "moe_ep_size", 1));
            return Math.max(1, Math.max(attention, experts));
        }

        ModelShape model() throws UnknownName {
            try {
                return ModelShape.of(text("model_path"));
            } catch (IllegalArgumentException e) {
                throw new UnknownName(e);
            }
        }

        GpuSpec gpu() throws UnknownName {
            try {
                return GpuSpec.of(text("system"));
            } catch (IllegalArgumentException e) {
                throw new UnknownName(e);
            }
        }
    }
}
