package io.tandem.tokenizer;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/** Decodes byte by byte across tokens: an incomplete character waits for its rest. */
final class Utf8Detokenizer implements IncrementalDetokenizer {
    private static final int LONGEST_REST_BYTES = 3;

    private final Tokenizer tokenizer;
    private final boolean renderSpecial;
    private final CharsetDecoder decoder = StandardCharsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPLACE)
            .onUnmappableCharacter(CodingErrorAction.REPLACE);
    private ByteBuffer in = ByteBuffer.allocate(64);
    private CharBuffer out = CharBuffer.allocate(64);

    Utf8Detokenizer(Tokenizer tokenizer, boolean renderSpecial) {
        this.tokenizer = tokenizer;
        this.renderSpecial = renderSpecial;
    }

    @Override
    public String append(int tokenId) {
        byte[] bytes = tokenizer.tokenBytes(tokenId, renderSpecial);
        if (bytes.length == 0) {
            return "";
        }
        if (in.remaining() < bytes.length) {
            ByteBuffer larger = ByteBuffer.allocate(in.position() + bytes.length + LONGEST_REST_BYTES);
            in = larger.put(in.flip());
        }
        in.put(bytes);
        return take(false);
    }

    @Override
    public String finish() {
        return take(true);
    }

    private String take(boolean last) {
        in.flip();
        if (out.capacity() < in.remaining() + 1) {
            out = CharBuffer.allocate(in.remaining() + 1);
        }
        out.clear();
        decoder.decode(in, out, last);
        if (last) {
            decoder.flush(out);
            decoder.reset();
        }
        in.compact();
        return out.flip().toString();
    }
}
