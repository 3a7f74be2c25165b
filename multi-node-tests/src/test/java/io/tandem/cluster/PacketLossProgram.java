package io.tandem.cluster;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;

/**
 * Six instructions that a Linux kernel runs on each packet that a network device receives (an XDP program): they drop a share
 * of them at random. For kernels that were built without netem.
 */
final class PacketLossProgram {
    private static final long SYS_BPF_X86_64 = 321;
    private static final long SYS_BPF_AARCH64 = 280;
    private static final long LOAD_PROGRAM = 5;
    private static final long PIN = 6;
    private static final int TYPE_XDP = 6;
    private static final int ATTRIBUTE_BYTES = 128;
    private static final int INSTRUCTION_BYTES = 8;

    private static final int CALL = 0x85;
    private static final int RANDOM_U32 = 7;
    private static final int JUMP_IF_BELOW_32 = 0xa6;
    private static final int MOVE = 0xb7;
    private static final int EXIT = 0x95;
    private static final int DROP = 1;
    private static final int PASS = 2;

    private PacketLossProgram() {}

    /**
     * Loads the program and gives it a name in a mounted bpf file system.
     *
     * @throws IllegalStateException when the kernel refuses
     */
    static Path pin(Path name, double share) {
        try (Arena arena = Arena.ofConfined()) {
            byte[] code = code(share);
            MemorySegment instructions = arena.allocate(code.length, Long.BYTES);
            instructions.asByteBuffer().put(code);
            ByteBuffer load = attributes();
            load.putInt(TYPE_XDP).putInt(code.length / INSTRUCTION_BYTES);
            load.putLong(instructions.address())
                    .putLong(arena.allocateFrom("GPL").address());
            long program = bpf(arena, LOAD_PROGRAM, load);
            ByteBuffer pin = attributes();
            pin.putLong(arena.allocateFrom(name.toString()).address()).putInt((int) program);
            bpf(arena, PIN, pin);
            return name;
        }
    }

    private static byte[] code(double share) {
        ByteBuffer code = ByteBuffer.allocate(6 * INSTRUCTION_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        instruction(code, CALL, 0, RANDOM_U32);
        instruction(code, JUMP_IF_BELOW_32, 2, (int) (long) (share * (1L << 32)));
        instruction(code, MOVE, 0, PASS);
        instruction(code, EXIT, 0, 0);
        instruction(code, MOVE, 0, DROP);
        instruction(code, EXIT, 0, 0);
        return code.array();
    }

    /** Of register 0. */
    private static void instruction(ByteBuffer code, int operation, int jump, int value) {
        code.put((byte) operation).put((byte) 0).putShort((short) jump).putInt(value);
    }

    private static ByteBuffer attributes() {
        return ByteBuffer.allocate(ATTRIBUTE_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static long bpf(Arena arena, long command, ByteBuffer attributes) {
        Linker linker = Linker.nativeLinker();
        MethodHandle syscall = linker.downcallHandle(
                linker.defaultLookup().find("syscall").orElseThrow(),
                FunctionDescriptor.of(
                        ValueLayout.JAVA_LONG,
                        ValueLayout.JAVA_LONG,
                        ValueLayout.JAVA_LONG,
                        ValueLayout.ADDRESS,
                        ValueLayout.JAVA_LONG),
                Linker.Option.firstVariadicArg(1));
        long number = System.getProperty("os.arch").equals("aarch64") ? SYS_BPF_AARCH64 : SYS_BPF_X86_64;
        MemorySegment union = arena.allocate(ATTRIBUTE_BYTES, Long.BYTES);
        union.asByteBuffer().put(attributes.rewind());
        long result;
        try {
            result = (long) syscall.invokeExact(number, command, union, (long) ATTRIBUTE_BYTES);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
        if (result < 0) {
            throw new IllegalStateException("the kernel refuses bpf command " + command);
        }
        return result;
    }
}
