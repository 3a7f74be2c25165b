package io.tandem.weights;

import java.util.ArrayList;
import java.util.List;

/**
 * An array of a GGUF header, whose bounds are checked and whose elements are decoded when they are asked for: a vocabulary is
 * megabytes, and only who tokenises needs it. Readable as long as the file is mapped.
 *
 * @param file a cursor over the file, wherever it stands
 * @param type the elements' GGUF type
 * @param position of the first element in the file
 */
record GgufArray(GgufCursor file, int type, int length, long position) {

    List<Object> decode() {
        GgufCursor cursor = file.from(position);
        List<Object> values = new ArrayList<>(length);
        for (int i = 0; i < length; i++) {
            values.add(GgufReader.value(cursor, type, 1));
        }
        return values;
    }
}
