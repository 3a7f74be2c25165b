package io.tandem.compute.cuda;

/** Waits for threads that use memory which is freed next. */
final class ThreadEnd {
    private ThreadEnd() {}

    /** Returns when the thread has ended, not sooner; an interrupt meanwhile is kept for the caller. */
    static void await(Thread thread) {
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
