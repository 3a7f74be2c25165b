package io.tandem.serialization;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import java.io.NotSerializableException;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.RecordComponent;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.pekko.actor.ExtendedActorSystem;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.javadsl.Adapter;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Every message type there is, filled with made-up values, comes back equal. */
class KryoSerializerTest {
    private static ActorSystem<Object> system;
    private static KryoSerializer serializer;
    private static ActorRef<Object> target;

    @BeforeAll
    static void start() {
        system = ActorSystem.create(
                Behaviors.empty(),
                "kryo",
                ConfigFactory.parseString("pekko.loglevel = WARNING").withFallback(ConfigFactory.load()));
        target = system.systemActorOf(Behaviors.empty(), "target", org.apache.pekko.actor.typed.Props.empty());
        serializer = new KryoSerializer((ExtendedActorSystem) Adapter.toClassic(system));
    }

    @AfterAll
    static void stop() {
        system.terminate();
    }

    @Test
    void shouldBringEveryMessageBackEqual() throws Exception {
        assertTrue(WireTypes.messageTypes().size() >= 19);
        for (Map.Entry<Integer, Class<?>> type : WireTypes.messageTypes().entrySet()) {
            Object message = made(type.getValue(), type.getValue());
            String manifest = serializer.manifest(message);
            assertEquals(type.getKey().toString(), manifest);
            Object fromArray = serializer.fromBinary(serializer.toBinary(message), manifest);
            ByteBuffer buffer = ByteBuffer.allocateDirect(64 << 10);
            serializer.toBinary(message, buffer);
            Object fromBuffer = serializer.fromBinary(buffer.flip(), manifest);
            assertEquals(shown(message), shown(fromArray), type.getValue().getName());
            assertEquals(shown(message), shown(fromBuffer), type.getValue().getName());
        }
    }

    @Test
    void shouldRefuseNumbersItDoesNotKnow() {
        assertThrows(NotSerializableException.class, () -> serializer.fromBinary(new byte[8], "9999"));
        assertThrows(NotSerializableException.class, () -> serializer.fromBinary(new byte[8], "java.lang.Runtime"));
    }

    /** A value of a type, out of nothing. */
    private static Object made(Class<?> type, java.lang.reflect.Type generic) throws Exception {
        if (type == int.class) {
            return 7;
        } else if (type == long.class) {
            return -81L;
        } else if (type == float.class) {
            return 0.25f;
        } else if (type == double.class) {
            return 0.5;
        } else if (type == boolean.class) {
            return true;
        } else if (type == String.class) {
            return "täxt";
        } else if (type == List.class) {
            return List.of("a", "b");
        } else if (type == ActorRef.class) {
            return target;
        } else if (type.isEnum()) {
            return type.getEnumConstants()[type.getEnumConstants().length - 1];
        } else if (type.isArray()) {
            Object array = Array.newInstance(type.getComponentType(), 2);
            for (int i = 0; i < 2; i++) {
                Array.set(array, i, made(type.getComponentType(), type.getComponentType()));
            }
            return array;
        }
        assertTrue(type.isRecord(), type + " is a record (" + generic + ")");
        RecordComponent[] parts = type.getRecordComponents();
        Object[] values = new Object[parts.length];
        for (int i = 0; i < parts.length; i++) {
            values[i] = special(type, parts[i]);
        }
        Constructor<?> constructor = type.getDeclaredConstructor(
                Arrays.stream(parts).map(RecordComponent::getType).toArray(Class<?>[]::new));
        constructor.setAccessible(true);
        return constructor.newInstance(values);
    }

    /** Values that a record's own checks want. */
    private static Object special(Class<?> record, RecordComponent part) throws Exception {
        return switch (record.getSimpleName() + "." + part.getName()) {
            case "SequenceSpec.promptTokens" -> 1;
            case "SamplingParams.topP", "SamplingParams.minP" -> 0.5f;
            case "SamplingParams.topLogprobs" -> 5;
            default -> made(part.getType(), part.getGenericType());
        };
    }

    private static String shown(Object value) throws Exception {
        if (value == null) {
            return "null";
        } else if (value.getClass().isArray()) {
            StringBuilder text = new StringBuilder("[");
            for (int i = 0; i < Array.getLength(value); i++) {
                text.append(shown(Array.get(value, i))).append(' ');
            }
            return text.append(']').toString();
        } else if (value instanceof Record) {
            StringBuilder text = new StringBuilder(value.getClass().getSimpleName());
            for (RecordComponent part : value.getClass().getRecordComponents()) {
                part.getAccessor().setAccessible(true);
                text.append(' ')
                        .append(part.getName())
                        .append('=')
                        .append(shown(part.getAccessor().invoke(value)));
            }
            return text.toString();
        }
        return value.toString();
    }
}
