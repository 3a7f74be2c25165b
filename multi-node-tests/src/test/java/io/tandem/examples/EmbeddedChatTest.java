package io.tandem.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.tandem.GenerationResult;
import io.tandem.cluster.ModelFile;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class EmbeddedChatTest {
    @Test
    void shouldAnswerFromInsideThisJvm() throws InterruptedException {
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        GenerationResult result = EmbeddedChat.ask(
                ModelFile.path().toString(),
                "What is the capital of France?",
                new PrintStream(printed, true, StandardCharsets.UTF_8));
        assertFalse(result.text().isBlank());
        assertEquals(result.text() + System.lineSeparator(), printed.toString(StandardCharsets.UTF_8));
        assertEquals("embedded-0", result.report().decodeGpu());
        assertEquals(result.tokenIds().length, result.report().outputTokens());
    }
}
