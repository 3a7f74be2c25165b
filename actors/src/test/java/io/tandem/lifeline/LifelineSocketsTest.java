package io.tandem.lifeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.Test;

/** Real sockets on loopback, and a process that is really killed. */
@SuppressWarnings("try") // the end of a listener is what is tested
class LifelineSocketsTest {
    private static final String HOST = "127.0.0.1";

    /** What was told, as text. */
    private static class Heard implements LifelineSockets.Events {
        private final BlockingQueue<String> events = new LinkedBlockingQueue<>();

        @Override
        public void opened(long line, long processId, String address) {
            events.add(line + " opened " + processId + " at " + address);
        }

        @Override
        public void refused(long line) {
            events.add(line + " refused");
        }

        @Override
        public void failed(long line, String why) {
            events.add(line + " failed: " + why);
        }

        @Override
        public void closed(long line) {
            events.add(line + " closed");
        }

        String next() throws InterruptedException {
            return events.take();
        }
    }

    private final Heard heard = new Heard();

    private static LifelineSettings settings(String more) {
        return LifelineSettings.from(ConfigFactory.parseString(more)
                .withFallback(ConfigFactory.parseResources("reference.conf"))
                .resolve());
    }

    private static LifelineSockets open(String more) {
        return LifelineSockets.open(HOST, settings(more));
    }

    private static int freePort() throws IOException {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return probe.getLocalPort();
        }
    }

    @Test
    void shouldAnswerForAPortThatIsNone() throws InterruptedException {
        try (LifelineSockets here = open("")) {
            here.connect(1, HOST, 99_999, heard);
            String answer = heard.next();
            assertTrue(answer.startsWith("1 failed: "), answer);
        }
    }

    @Test
    void shouldGreetAndTellOfItsEnd() throws Exception {
        try (LifelineSockets here = open("")) {
            LifelineSockets there = open("");
            here.connect(1, HOST, there.role().port(), heard);
            assertEquals("1 opened " + there.role().processId() + " at " + HOST, heard.next());
            there.close();
            assertEquals("1 closed", heard.next());
            here.connect(2, HOST, there.role().port(), heard);
            assertEquals("2 refused", heard.next());
        }
    }

    @Test
    void shouldSayNothingOfAConnectionThatItGaveUp() throws Exception {
        try (LifelineSockets here = open("");
                LifelineSockets there = open("")) {
            here.connect(1, HOST, there.role().port(), heard);
            heard.next();
            here.disconnect(1);
            here.connect(2, HOST, there.role().port(), heard);
            assertTrue(heard.next().startsWith("2 opened"));
            there.close();
            assertEquals("2 closed", heard.next());
        }
    }

    @Test
    void shouldNotTakeSilenceOrAnotherServiceForADeath() throws Exception {
        try (LifelineSockets here = open("tandem.lifeline.connect-timeout = 200ms");
                ServerSocket silent = new ServerSocket(0, 10, InetAddress.getLoopbackAddress())) {
            here.connect(1, HOST, silent.getLocalPort(), heard);
            assertEquals("1 failed: no answer within 200 ms", heard.next());

            here.connect(2, HOST, silent.getLocalPort(), heard);
            silent.accept().close(); // the first one's
            try (Socket other = silent.accept()) {
                other.getOutputStream().write("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
                assertEquals("2 failed: something else answers there", heard.next());
            }

            here.connect(3, HOST, silent.getLocalPort(), heard);
            silent.accept().close();
            assertEquals("3 failed: the connection ended without a greeting", heard.next());

            here.connect(4, "no-such-host.invalid", 1, heard);
            assertEquals("4 failed: the host no-such-host.invalid is not known", heard.next());
        }
    }

    @Test
    void shouldHoldNoMoreConnectionsThanItMay() throws Exception {
        try (LifelineSockets here = open("");
                LifelineSockets there = open("tandem.lifeline.max-connections = 2")) {
            for (int i = 1; i <= 2; i++) {
                here.connect(i, HOST, there.role().port(), heard);
                assertTrue(heard.next().startsWith(i + " opened"));
            }
            here.connect(3, HOST, there.role().port(), heard);
            assertTrue(heard.next().startsWith("3 failed"));
            here.disconnect(1);
            String last;
            int line = 3;
            do {
                here.connect(++line, HOST, there.role().port(), heard);
                last = heard.next();
            } while (last.contains("failed"));
            assertTrue(last.startsWith(line + " opened"), "a place that was given up is free");
        }
    }

    @Test
    void shouldBeginAnewUnderItsPortWhenItsThreadFails() throws Exception {
        try (LifelineSockets here = open("");
                LifelineSockets there = open("")) {
            String greeting = " opened " + there.role().processId() + " at " + HOST;
            here.connect(1, HOST, there.role().port(), heard);
            assertEquals("1" + greeting, heard.next());
            there.connect(2, HOST, here.role().port(), heard);
            assertTrue(heard.next().startsWith("2 opened"));

            there.call(
                    () -> {
                        throw new IllegalStateException("broken");
                    },
                    () -> {});
            String first = heard.next();
            String second = heard.next();
            assertEquals(Set.of("1 closed", "2 closed"), Set.of(first, second));

            here.connect(3, HOST, there.role().port(), heard);
            assertEquals("3" + greeting, heard.next());
            there.connect(4, HOST, here.role().port(), heard);
            assertTrue(heard.next().startsWith("4 opened"));
        }
    }

    /** What is told to somebody who throws is told, and everything goes on. */
    @Test
    void shouldGoOnWhenAListenerOfItsEventsFails() throws Exception {
        try (LifelineSockets here = open("");
                LifelineSockets there = open("")) {
            CountDownLatch told = new CountDownLatch(1);
            here.connect(1, HOST, there.role().port(), new Heard() {
                @Override
                public void opened(long line, long processId, String address) {
                    told.countDown();
                    throw new IllegalStateException("not today");
                }
            });
            told.await();
            here.connect(2, HOST, there.role().port(), heard);
            assertTrue(heard.next().startsWith("2 opened"));
        }
    }

    @Test
    void shouldNameThePortThatCannotBeHad() throws Exception {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class, () -> open("tandem.lifeline.port = " + taken.getLocalPort()));
            assertTrue(e.getMessage().startsWith("tandem.lifeline.port " + taken.getLocalPort()), e.getMessage());
        }
        assertThrows(IllegalArgumentException.class, () -> settings("tandem.lifeline.connect-timeout = 1ms"));
    }

    /** The process that is killed. */
    public static final class Victim {
        private Victim() {}

        public static void main(String[] args) throws Exception {
            try (LifelineSockets sockets = open("tandem.lifeline.port = " + args[0])) {
                System.out.println(sockets.role().processId());
                Thread.sleep(Long.MAX_VALUE);
            }
        }
    }

    @Test
    void shouldSeeAKilledProcessAndItsSuccessorUnderTheSamePort() throws Exception {
        int port = freePort();
        try (LifelineSockets here = open("")) {
            Process first = victim(port);
            String firstId = id(first);
            here.connect(1, HOST, port, heard);
            assertEquals("1 opened " + firstId + " at " + HOST, heard.next());

            first.destroyForcibly();
            assertEquals("1 closed", heard.next());
            first.waitFor();
            here.connect(2, HOST, port, heard);
            assertEquals("2 refused", heard.next());

            Process second = victim(port);
            try {
                String secondId = id(second);
                here.connect(3, HOST, port, heard);
                assertEquals("3 opened " + secondId + " at " + HOST, heard.next());
                assertTrue(!secondId.equals(firstId));
            } finally {
                second.destroyForcibly().waitFor();
            }
        }
    }

    private static Process victim(int port) throws IOException {
        return new ProcessBuilder(List.of(
                        ProcessHandle.current().info().command().orElse("java"),
                        "-cp",
                        System.getProperty("java.class.path"),
                        Victim.class.getName(),
                        "" + port))
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
    }

    private static String id(Process victim) throws IOException {
        BufferedReader out =
                new BufferedReader(new InputStreamReader(victim.getInputStream(), StandardCharsets.US_ASCII));
        for (String line = out.readLine(); line != null; line = out.readLine()) {
            if (line.matches("-?\\d+")) {
                return line;
            }
        }
        throw new IOException("the victim did not start");
    }
}
