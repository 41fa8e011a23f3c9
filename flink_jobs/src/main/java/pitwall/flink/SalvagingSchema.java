package pitwall.flink;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.metrics.Counter;
import org.apache.flink.table.data.RowData;

/**
 * Decodes like `inner`; a record that gives no sound row is wrapped into a message that holds just its bytes, in the
 * field `undecodable` that every message of ours has here (see pom.xml).
 */
final class SalvagingSchema implements DeserializationSchema<RowData> {
    private static final long serialVersionUID = 1;
    private static final byte[] NO_BYTES = {};
    /** Of a bad record; more than a broker takes, headers and all, would end the job again and again. */
    static final int MOST_BYTES = 900_000;

    private static final int UNDECODABLE_FIELD = 536_870_911;

    private final DeserializationSchema<RowData> inner;
    private final Soundness soundness;
    private final boolean takesTombstones;
    private transient Counter undecodable;

    /** `takesTombstones`: a record without a value says that there is nothing any more, and gives a row of nothing. */
    SalvagingSchema(DeserializationSchema<RowData> inner, Soundness soundness, boolean takesTombstones) {
        this.inner = inner;
        this.soundness = soundness;
        this.takesTombstones = takesTombstones;
    }

    @Override
    public void open(InitializationContext context) throws Exception {
        inner.open(context);
        undecodable = context.getMetricGroup().counter("undecodable");
    }

    @Override
    public RowData deserialize(byte[] record) throws IOException {
        if (record == null) {
            return takesTombstones
                    ? inner.deserialize(NO_BYTES)
                    : salvage(NO_BYTES, "MISSING", "the record has a key alone");
        }
        RowData row;
        try {
            row = inner.deserialize(record);
        } catch (IOException failure) {
            return salvage(record, "NOT_PROTOBUF", causeOf(failure));
        }
        var missing = soundness.missing(row);
        if (missing != null) {
            return salvage(record, "MISSING", missing + " is absent");
        }
        var impossible = soundness.impossible(row);
        return impossible == null ? row : salvage(record, "OUT_OF_RANGE", impossible + " can't be what it says");
    }

    private RowData salvage(byte[] record, String reason, String explanation) throws IOException {
        undecodable.inc();
        var found = Undecodable.newBuilder()
                .setRecord(ByteString.copyFrom(record, 0, Math.min(record.length, MOST_BYTES)))
                .setReason(reason)
                .setExplanation(explanation + cut(record));
        var message = new ByteArrayOutputStream();
        var fields = CodedOutputStream.newInstance(message);
        fields.writeMessage(UNDECODABLE_FIELD, found.build());
        fields.flush();
        return inner.deserialize(message.toByteArray());
    }

    private static String cut(byte[] record) {
        return record.length <= MOST_BYTES ? "" : "; the first " + MOST_BYTES + " of " + record.length + " bytes";
    }

    /** What protobuf said. The virtual machine's own errors are no fault of the record. */
    private static String causeOf(Throwable failure) {
        var cause = failure;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        if (cause instanceof VirtualMachineError) {
            throw (VirtualMachineError) cause;
        }
        return String.valueOf(cause.getMessage());
    }

    @Override
    public boolean isEndOfStream(RowData row) {
        return false;
    }

    @Override
    public TypeInformation<RowData> getProducedType() {
        return inner.getProducedType();
    }
}
