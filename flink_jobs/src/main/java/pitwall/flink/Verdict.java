package pitwall.flink;

import java.io.IOException;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** How one rule stands in one lane of a vehicle. */
final class Verdict {
    private static final long NOT_BEYOND = -1;

    /** It is raised, and since which reading. */
    boolean open;
    boolean escalated;
    long bootEpoch;
    long sequence;
    long eventNs;
    /** For how long things have been beyond the limit; NOT_BEYOND where they aren't. */
    private long heldNs = NOT_BEYOND;
    /** The reading before was beyond it too, and not just unknown. */
    private boolean counting;

    /** Nothing that would have to be remembered. */
    boolean atRest() {
        return !open && heldNs == NOT_BEYOND;
    }

    void silence() {
        heldNs = NOT_BEYOND;
    }

    void unknown() {
        counting = false;
    }

    /** `sinceLastNs`: since the reading before. True where it has been beyond for long enough. */
    boolean beyond(long sinceLastNs, long holdNs) {
        heldNs = heldNs == NOT_BEYOND ? 0 : counting ? heldNs + sinceLastNs : heldNs;
        counting = true;
        return heldNs >= holdNs;
    }

    void within() {
        heldNs = NOT_BEYOND;
    }

    void raise(long bootEpoch, long sequence, long eventNs) {
        this.open = true;
        this.escalated = false;
        this.bootEpoch = bootEpoch;
        this.sequence = sequence;
        this.eventNs = eventNs;
    }

    void clear() {
        open = false;
    }

    void forget() {
        clear();
        silence();
        unknown();
    }

    Verdict copied() {
        var copy = new Verdict();
        copy.open = open;
        copy.escalated = escalated;
        copy.bootEpoch = bootEpoch;
        copy.sequence = sequence;
        copy.eventNs = eventNs;
        copy.heldNs = heldNs;
        copy.counting = counting;
        return copy;
    }

    void write(DataOutputView target) throws IOException {
        target.writeBoolean(open);
        target.writeBoolean(escalated);
        target.writeLong(bootEpoch);
        target.writeLong(sequence);
        target.writeLong(eventNs);
        target.writeLong(heldNs);
        target.writeBoolean(counting);
    }

    static Verdict read(DataInputView source) throws IOException {
        var read = new Verdict();
        read.open = source.readBoolean();
        read.escalated = source.readBoolean();
        read.bootEpoch = source.readLong();
        read.sequence = source.readLong();
        read.eventNs = source.readLong();
        read.heldNs = source.readLong();
        read.counting = source.readBoolean();
        return read;
    }
}
