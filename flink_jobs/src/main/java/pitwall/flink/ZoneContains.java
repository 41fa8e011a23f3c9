package pitwall.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * Whether a position is in a zone or on its edge: the same rule, step by step, as Zone.contains in pitwall/domain/geo.py.
 * An empty zone is everywhere. Null where zone or position is unknown.
 */
public final class ZoneContains extends ScalarFunction {
    private static final long serialVersionUID = 1;

    /** `zone`: latitude and longitude of each corner in turn. All in degrees. */
    public Boolean eval(
            @DataTypeHint("ARRAY<DOUBLE NOT NULL>") double[] zone, Double latitude, Double longitude) {
        if (zone == null) {
            return null;
        }
        if (zone.length == 0) {
            return true;
        }
        return latitude == null || longitude == null ? null : contains(zone, latitude, longitude);
    }

    private static boolean contains(double[] zone, double latitude, double longitude) {
        boolean inside = false;
        for (int b = 0, a = zone.length - 2; b < zone.length; a = b, b += 2) {
            double latitudeA = zone[a];
            double longitudeA = zone[a + 1];
            double latitudeB = zone[b];
            double longitudeB = zone[b + 1];
            if (isOnEdge(latitudeA, longitudeA, latitudeB, longitudeB, latitude, longitude)) {
                return true;
            }
            if (latitudeA > latitude != latitudeB > latitude) {
                double share = (latitude - latitudeA) / (latitudeB - latitudeA);
                inside ^= longitude < longitudeA + share * (longitudeB - longitudeA);
            }
        }
        return inside;
    }

    private static boolean isOnEdge(
            double latitudeA,
            double longitudeA,
            double latitudeB,
            double longitudeB,
            double latitude,
            double longitude) {
        double turn = (longitudeB - longitudeA) * (latitude - latitudeA) - (latitudeB - latitudeA) * (longitude - longitudeA);
        return turn == 0
                && Math.min(latitudeA, latitudeB) <= latitude
                && latitude <= Math.max(latitudeA, latitudeB)
                && Math.min(longitudeA, longitudeB) <= longitude
                && longitude <= Math.max(longitudeA, longitudeB);
    }
}
