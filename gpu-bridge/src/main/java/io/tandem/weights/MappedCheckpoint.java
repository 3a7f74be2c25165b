package io.tandem.weights;

import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** What checkpoints have in common whatever their format: tensors by name, mapped until it is closed. */
abstract sealed class MappedCheckpoint implements Checkpoint permits GgufCheckpoint, SafetensorsCheckpoint {
    private final Path place;
    private final Arena arena;
    private final Map<String, Tensor> tensors;

    /**
     * @param place file or folder, for people
     * @param arena of the mappings; closed with the checkpoint
     */
    MappedCheckpoint(Path place, Arena arena, Map<String, Tensor> tensors) {
        this.place = place;
        this.arena = arena;
        this.tensors = tensors;
    }

    @Override
    public Optional<Tensor> find(String name) {
        return Optional.ofNullable(tensors.get(name));
    }

    @Override
    public Tensor tensor(String name) {
        return find(name).orElseThrow(() -> new IllegalArgumentException(place + " has no tensor '" + name + "'"));
    }

    @Override
    public Set<String> tensorNames() {
        return Set.copyOf(tensors.keySet());
    }

    @Override
    public String fingerprint() {
        return Fingerprint.of(config(), tensors);
    }

    @Override
    public long weightBytes() {
        return tensors.values().stream().mapToLong(t -> t.data().byteSize()).sum();
    }

    /** Again does nothing: a backend that cannot open closes what its caller closes too. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }
}
