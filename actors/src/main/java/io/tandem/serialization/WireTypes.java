package io.tandem.serialization;

import com.esotericsoftware.kryo.Kryo;
import com.esotericsoftware.kryo.Serializer;
import com.esotericsoftware.kryo.io.Input;
import com.esotericsoftware.kryo.io.Output;
import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineListener;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.StepTimes;
import io.tandem.routing.WorkerFacts;
import io.tandem.sampling.SamplingParams;
import io.tandem.supervisor.DemandReport;
import io.tandem.supervisor.SupervisorMessage;
import io.tandem.supervisor.SupervisorReport;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferEndpoint;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import io.tandem.worker.WorkerEnded;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerReport;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The numbers of everything that crosses JVMs. They are the wire format: a number is never reused, and a new type takes the
 * next free one. Nothing that is not listed here can be read, whatever a peer sends.
 */
public final class WireTypes {
    private static final int MAX_LIST_ENTRIES = 100_000;
    private static final Map<Integer, Class<?>> MESSAGES = messages();
    private static final Map<Integer, Class<?>> PARTS = parts();

    private WireTypes() {}

    /** Messages by number. */
    public static Map<Integer, Class<?>> messageTypes() {
        return MESSAGES;
    }

    private static Map<Integer, Class<?>> messages() {
        Map<Integer, Class<?>> m = new LinkedHashMap<>();
        m.put(100, WorkerMessage.Wake.class);
        m.put(101, WorkerMessage.Dispatch.class);
        m.put(102, WorkerMessage.PushKv.class);
        m.put(103, WorkerMessage.AdoptKv.class);
        m.put(104, WorkerMessage.CancelWork.class);
        m.put(105, WorkerMessage.ChangeRole.class);
        m.put(106, WorkerMessage.SetDraining.class);
        m.put(107, WorkerMessage.Done.class);
        m.put(260, WorkerMessage.AskWork.class);
        m.put(120, RequestMessage.Tokens.class);
        m.put(121, RequestMessage.Ended.class);
        m.put(122, RequestMessage.KvReserved.class);
        m.put(123, RequestMessage.KvAdopted.class);
        m.put(124, RequestMessage.KvFailed.class);
        m.put(125, RequestMessage.Refused.class);
        m.put(261, RequestMessage.WorkState.class);
        m.put(262, RequestMessage.Holding.class);
        m.put(140, WorkerReport.class);
        m.put(141, WorkerEnded.class);
        m.put(150, SupervisorMessage.SetRole.class);
        m.put(151, SupervisorMessage.Drain.class);
        m.put(152, SupervisorMessage.Outcome.class);
        m.put(240, DemandReport.class);
        m.put(200, BlockFeedMessage.Events.class);
        m.put(201, BlockFeedMessage.Snapshot.class);
        m.put(202, WorkerMessage.FetchBlocks.class);
        m.put(247, SupervisorReport.class);
        m.put(241, WorkerMessage.MoveOut.class);
        m.put(242, WorkerMessage.KeepWork.class);
        m.put(243, RequestMessage.MoveAway.class);
        m.put(244, RequestMessage.MoveReserved.class);
        m.put(245, RequestMessage.Paused.class);
        m.put(246, RequestMessage.MoveFailed.class);
        return m;
    }

    private static Map<Integer, Class<?>> parts() {
        Map<Integer, Class<?>> m = new LinkedHashMap<>();
        m.put(20, int[].class);
        m.put(21, long[].class);
        m.put(22, float[].class);
        m.put(23, int[][].class);
        m.put(24, float[][].class);
        m.put(30, RequestTarget.class);
        m.put(31, SequenceSpec.class);
        m.put(32, SamplingParams.class);
        m.put(33, SequenceStats.class);
        m.put(34, FinishReason.class);
        m.put(35, EngineRole.class);
        m.put(36, EngineStats.class);
        m.put(37, EngineListener.RefusalReason.class);
        m.put(38, BackendInfo.class);
        m.put(39, LeaseId.class);
        m.put(40, TransferEndpoint.class);
        m.put(41, TransferStats.class);
        m.put(42, TransferFailure.class);
        m.put(43, WorkerMessage.Kind.class);
        m.put(259, WorkerReport.RoleHistory.class);
        m.put(210, double[].class);
        m.put(211, StepTimes.class);
        m.put(212, WorkerFacts.class);
        return m;
    }

    static void register(Kryo kryo) {
        TextListSerializer lists = new TextListSerializer();
        kryo.register(List.of().getClass(), lists, 50);
        kryo.register(List.of("").getClass(), lists, 51);
        PARTS.forEach((id, type) -> kryo.register(type, id));
        MESSAGES.forEach((id, type) -> kryo.register(type, id));
    }

    /** Lists of text, whatever class of list: what the records on the wire hold. */
    private static final class TextListSerializer extends Serializer<List<String>> {
        TextListSerializer() {
            super(false, true);
        }

        @Override
        public void write(Kryo kryo, Output output, List<String> list) {
            output.writeVarInt(list.size(), true);
            list.forEach(output::writeString);
        }

        @Override
        public List<String> read(Kryo kryo, Input input, Class<? extends List<String>> type) {
            int size = input.readVarInt(true);
            if (size > MAX_LIST_ENTRIES) {
                throw new IllegalArgumentException("a list of " + size + " entries in a message");
            }
            List<String> list = new ArrayList<>(size);
            for (int i = 0; i < size; i++) {
                list.add(input.readString());
            }
            return List.copyOf(list);
        }
    }
}
