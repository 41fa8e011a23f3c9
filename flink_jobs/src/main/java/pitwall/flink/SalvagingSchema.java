package pitwall.flink;

import com.google.protobuf.ByteString;
import haul.telemetry.v1.Reading;
import haul.telemetry.v1.Undecodable;
import java.io.IOException;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.metrics.Counter;
import org.apache.flink.table.data.RowData;

/** Decodes like `inner`; a record that gives no sound row is wrapped into a Reading that holds just its bytes. */
final class SalvagingSchema implements DeserializationSchema<RowData> {
    private static final long serialVersionUID = 1;
    private static final byte[] NO_BYTES = {};

    private final DeserializationSchema<RowData> inner;
    private final Soundness soundness;
    private transient Counter undecodable;

    SalvagingSchema(DeserializationSchema<RowData> inner, Soundness soundness) {
        this.inner = inner;
        this.soundness = soundness;
    }

    @Override
    public void open(InitializationContext context) throws Exception {
        inner.open(context);
        undecodable = context.getMetricGroup().counter("undecodable");
    }

    @Override
    public RowData deserialize(byte[] record) throws IOException {
        if (record == null) {
            return salvage(NO_BYTES, "MISSING", "the record has a key alone");
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
                .setRecord(ByteString.copyFrom(record))
                .setReason(reason)
                .setExplanation(explanation);
        return inner.deserialize(Reading.newBuilder().setUndecodable(found).build().toByteArray());
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
