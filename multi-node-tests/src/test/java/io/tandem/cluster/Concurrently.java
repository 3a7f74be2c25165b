package io.tandem.cluster;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;

/** Asks many things at once; results are in the order of what was asked. */
final class Concurrently {
    private Concurrently() {}

    static <T, R> List<R> map(List<T> items, Function<T, R> call) {
        return map(items, call, () -> {});
    }

    /** {@code meanwhile} runs on the caller's thread. */
    static <T, R> List<R> map(List<T> items, Function<T, R> call, Runnable meanwhile) {
        try (ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<R>> running = new ArrayList<>();
            for (T item : items) {
                running.add(callers.submit(() -> call.apply(item)));
            }
            meanwhile.run();
            List<R> results = new ArrayList<>();
            for (Future<R> one : running) {
                results.add(one.get());
            }
            return results;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        } catch (ExecutionException e) {
            throw new AssertionError(e.getCause());
        }
    }
}
