package io.tandem.serialization;

import com.esotericsoftware.kryo.Kryo;
import com.esotericsoftware.kryo.Serializer;
import com.esotericsoftware.kryo.io.ByteBufferInput;
import com.esotericsoftware.kryo.io.ByteBufferOutput;
import com.esotericsoftware.kryo.io.Input;
import com.esotericsoftware.kryo.io.Output;
import com.esotericsoftware.kryo.util.Pool;
import java.io.NotSerializableException;
import java.nio.ByteBuffer;
import org.apache.pekko.actor.ExtendedActorSystem;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorRefResolver;
import org.apache.pekko.actor.typed.javadsl.Adapter;
import org.apache.pekko.serialization.ByteBufferSerializer;
import org.apache.pekko.serialization.SerializerWithStringManifest;

/**
 * Kryo for Pekko's remoting. The manifest is the type's number, so class names never travel, and a number this version does
 * not know is an error at the receiver that names it.
 */
public final class KryoSerializer extends SerializerWithStringManifest implements ByteBufferSerializer {
    private static final int IDENTIFIER = 7_481;
    private static final int INITIAL_BYTES = 512;
    private static final int MAX_BYTES = 64 << 20;

    private final ExtendedActorSystem system;
    private final Pool<Kryo> kryos = new Pool<>(true, false) {
        @Override
        protected Kryo create() {
            return newKryo();
        }
    };

    public KryoSerializer(ExtendedActorSystem system) {
        this.system = system;
    }

    private Kryo newKryo() {
        Kryo kryo = new Kryo();
        kryo.setRegistrationRequired(true);
        kryo.setReferences(false);
        WireTypes.register(kryo);
        ActorRefSerializer refs = new ActorRefSerializer(system);
        // An address, an adapter and a proxy are different classes; on the wire they are one.
        kryo.addDefaultSerializer(ActorRef.class, refs);
        kryo.register(ActorRef.class, refs, 60);
        kryo.register(Adapter.toTyped(system.provider().deadLetters()).getClass(), refs, 61);
        return kryo;
    }

    @Override
    public int identifier() {
        return IDENTIFIER;
    }

    @Override
    public String manifest(Object message) {
        Kryo kryo = kryos.obtain();
        try {
            return Integer.toString(kryo.getRegistration(message.getClass()).getId());
        } finally {
            kryos.free(kryo);
        }
    }

    @Override
    public byte[] toBinary(Object message) {
        Kryo kryo = kryos.obtain();
        try {
            Output output = new Output(INITIAL_BYTES, MAX_BYTES);
            kryo.writeObject(output, message);
            return output.toBytes();
        } finally {
            kryos.free(kryo);
        }
    }

    @Override
    public void toBinary(Object message, ByteBuffer into) {
        Kryo kryo = kryos.obtain();
        try {
            ByteBufferOutput output = new ByteBufferOutput(into);
            kryo.writeObject(output, message);
            into.position(output.position());
        } finally {
            kryos.free(kryo);
        }
    }

    @Override
    public Object fromBinary(byte[] bytes, String manifest) throws NotSerializableException {
        Kryo kryo = kryos.obtain();
        try {
            return kryo.readObject(new Input(bytes), type(manifest));
        } finally {
            kryos.free(kryo);
        }
    }

    @Override
    public Object fromBinary(ByteBuffer buffer, String manifest) throws NotSerializableException {
        Kryo kryo = kryos.obtain();
        try {
            return kryo.readObject(new ByteBufferInput(buffer), type(manifest));
        } finally {
            kryos.free(kryo);
        }
    }

    private static Class<?> type(String manifest) throws NotSerializableException {
        try {
            Class<?> type = WireTypes.messageTypes().get(Integer.parseInt(manifest));
            if (type != null) {
                return type;
            }
        } catch (NumberFormatException e) {
            // Falls through to the same answer as an unknown number.
        }
        throw new NotSerializableException("message type " + manifest + " is not known to this version of Tandem");
    }

    /** Typed actor references, as their address. */
    private static final class ActorRefSerializer extends Serializer<ActorRef<?>> {
        private final ExtendedActorSystem system;

        ActorRefSerializer(ExtendedActorSystem system) {
            super(false, true);
            this.system = system;
        }

        /** Asked for late: serializers are made before the system is ready. */
        private ActorRefResolver resolver() {
            return ActorRefResolver.get(Adapter.toTyped(system));
        }

        @Override
        public void write(Kryo kryo, Output output, ActorRef<?> ref) {
            output.writeString(resolver().toSerializationFormat(ref));
        }

        @Override
        public ActorRef<?> read(Kryo kryo, Input input, Class<? extends ActorRef<?>> type) {
            return resolver().resolveActorRef(input.readString());
        }
    }
}
