package io.tandem.simulation.planning;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads measured serving runs from aiconfigurator's {@code silicon_sample.csv} (Apache-2.0) or rows of it.
 *
 * <p>A run that several of its sources list is taken once, also under the names of two models with the same shape: else a
 * model would be tested on runs it was fitted to.
 */
public final class SiliconSamples {
    private static final Pattern CONCURRENCY = Pattern.compile("silicon_concurrency=(\\d+)");
    private static final Pattern MEASURED = Pattern.compile("measured=(\\d+-\\d+-\\d+)");

    /** A replica that is said to span more is the sum of several, whose number is not in the file. */
    private static final double MOST_GPUS_OF_A_REPLICA = 16;

    private final List<ServingPoint> points = new ArrayList<>();
    private final Set<List<Object>> seen = new HashSet<>();
    private int withoutLayout;
    private int unknown;
    private int repeated;

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

    /** Rows that list a run once more. */
    public int repeated() {
        return repeated;
    }

    private void add(Row row) {
        boolean split = row.text("mode").equals("disagg");
        if (split && row.text("decode_num_workers").isEmpty()) {
            withoutLayout++;
            return;
        }
        Matcher concurrency = CONCURRENCY.matcher(row.text("silicon_data_source"));
        double inFlight = concurrency.find() ? Double.parseDouble(concurrency.group(1)) : row.number("batch_size", 0);
        if (inFlight <= 0 || (!split && row.replica("").gpus() > MOST_GPUS_OF_A_REPLICA)) {
            withoutLayout++;
            return;
        }
        try {
            ServingPoint point = point(row, split, inFlight);
            if (seen.add(identity(point))) {
                points.add(point);
            } else {
                repeated++;
            }
        } catch (UnknownName e) {
            unknown++;
        }
    }

    /** Two sources give a measurement with different numbers of digits. */
    private static List<Object> identity(ServingPoint p) {
        return List.of(
                p.gpu().name(),
                p.split(),
                p.promptTokens(),
                p.outputTokens(),
                p.concurrency(),
                Math.round(p.ttftMs() * 100),
                Math.round(p.tpotMs() * 1000));
    }

    private static ServingPoint point(Row row, boolean split, double inFlight) throws UnknownName {
        Replica decode = row.replica(split ? "decode_" : "");
        double workers = split ? row.number("decode_num_workers", 1) : 1;
        if (!split) {
            // A batch that is a share of what is in flight: of a replica's attention groups, or of several replicas.
            double shares = Math.rint(inFlight / row.number("batch_size", inFlight));
            if (shares > 1 && decode.attentionGroups() == 1) {
                boolean groups = shares <= decode.gpus() && row.model().expertParameters() > 0;
                decode = new Replica(decode.gpus(), groups ? shares : 1, decode.expertGroups());
                workers = groups ? 1 : shares;
            }
        }
        String products = row.text("gemm_quant_mode");
        String experts = row.text("moe_quant_mode");
        Precision precision = Precision.of(products.isEmpty() ? row.text("precision") : products);
        Matcher measured = MEASURED.matcher(row.text("silicon_data_source"));
        return new ServingPoint(
                row.text("backend"),
                row.text("backend_version"),
                measured.find() ? measured.group(1) : "",
                row.model(),
                row.gpu(),
                precision,
                experts.isEmpty() ? precision : Precision.of(experts),
                split,
                (int) row.number("isl", 1),
                (int) row.number("osl", 1),
                inFlight,
                split ? row.number("prefill_num_workers", 1) : workers,
                split ? row.replica("prefill_").gpus() : decode.gpus(),
                workers,
                decode.gpus(),
                decode.attentionGroups(),
                decode.expertGroups(),
                row.number("silicon_ttft_ms", 0),
                row.number("silicon_tpot_ms", 0));
    }

    private record Replica(double gpus, double attentionGroups, double expertGroups) {}

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

        /**
         * How a replica is laid out. One source writes N GPUs with expert parallelism as tp = N * N with N groups of N experts, or
         * with data-parallel attention as tp = dp = N with N * N expert groups; the rows' ids show that N are meant.
         */
        Replica replica(String prefix) {
            double tensor = atLeastOne(prefix + "tp_size");
            double attention = atLeastOne(prefix + "attention_dp_size");
            double expertTensor = atLeastOne(prefix + "moe_tp_size");
            double experts = atLeastOne(prefix + "moe_ep_size");
            if (expertTensor > 1 && expertTensor == experts && tensor * attention == expertTensor * experts) {
                return new Replica(experts, attention > 1 ? experts : 1, experts);
            }
            if (tensor > 1 && tensor == attention) {
                return new Replica(tensor, attention, Math.min(experts, tensor));
            }
            double gpus = Math.max(Math.max(tensor, attention), expertTensor * experts);
            return new Replica(gpus * atLeastOne(prefix + "pp_size"), attention, experts);
        }

        private double atLeastOne(String column) {
            return columns.containsKey(column) ? Math.max(1, number(column, 1)) : 1;
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
