"""What the dashboard shows, row by row, most urgent first. dashboard.py makes Grafana's JSON of it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: (PromQL, legend). `unit`: Grafana's. `stat`: a single number; anything but 0 is red."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    stat: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


#: A command service that is cut off from gateways takes their vehicles for lost.
WHO_SEES: Final = "and on (process) process:pitwall_gateways_attached:most"


def stat(title: str, query: str, text: str = "") -> Panel:
    return Panel(title, ((query, ""),), stat=True, text=text)


ROWS: Final = (
    Row(
        "Is anything wrong?",
        (
            stat("Alerts firing", 'count(ALERTS{alertstate="firing"}) or vector(0)'),
            stat("Processes down", "count(up == 0) or vector(0)"),
            stat(
                "Stops overdue", "max(pitwall_stop_vehicles_overdue)", "Vehicles that are late with a stage of a stop"
            ),
            stat(
                "Stopped, not standing",
                f'max(sum by (process) (pitwall_stop_vehicles{{state!="standstill"}}) {WHO_SEES})',
                "As the command services have it to which most gateways are attached",
            ),
            stat("Vehicles LOST", f"max(pitwall_vehicles_lost {WHO_SEES})", "Likewise"),
            stat("Parts not well", "count(pitwall_part_up == 0) or vector(0)"),
        ),
    ),
    Row(
        "Stops",
        (
            Panel("Active stops", (("pitwall_stops_active", "{{process}}"),)),
            Panel("Vehicles in scope of stops", ((f"max by (state) (pitwall_stop_vehicles {WHO_SEES})", "{{state}}"),)),
            Panel("From request to stage, p99", (("stage:pitwall_stop_stage_seconds:p99", "{{stage}}"),), "s"),
            Panel(
                "Stages that came late",
                (("sum by (after) (increase(pitwall_stop_stages_overdue_total[5m]))", "after {{after}}"),),
            ),
        ),
    ),
    Row(
        "Leave to move",
        (
            Panel("Permits", (("sum by (denial) (rate(pitwall_gateway_permits_total[1m]))", "{{denial}}"),), "ops"),
            Panel(
                "Left of a permit when it comes, p1",
                (("process:pitwall_agent_permit_margin_seconds:p01", "{{process}}"),),
                "s",
            ),
            Panel(
                "Leases",
                (("sum by (process, consent) (rate(pitwall_leases_total[1m]))", "{{process}} {{consent}}"),),
                "ops",
            ),
            Panel("Journal commit, p99", (("process:pitwall_journal_commit_seconds:p99", "{{process}}"),), "s"),
            Panel(
                "Vehicles",
                (
                    ("sum(pitwall_gateway_sessions)", "sessions"),
                    ("max(pitwall_vehicles_known)", "known"),
                    ("sum(pitwall_agent_vehicles_latched)", "latched"),
                ),
            ),
            Panel("Event loop lag, p99", (("process:pitwall_event_loop_lag_seconds:p99", "{{process}}"),), "s"),
        ),
    ),
    Row(
        "Readings",
        (
            Panel(
                "Readings by outcome",
                (
                    ("sum by (outcome) (rate(pitwall_gateway_readings_total[1m]))", "{{outcome}}"),
                    ("sum(rate(pitwall_gateway_readings_backfilled_total[1m]))", "of these backfilled"),
                ),
                "ops",
            ),
            Panel(
                "Rejected, by field and reason",
                (("sum by (field, reason) (rate(pitwall_gateway_rejections_total[5m]))", "{{field}} {{reason}}"),),
                "ops",
            ),
            Panel("Kafka: in flight", (("pitwall_kafka_in_flight_records", "{{process}}"),)),
            Panel("Kafka: delivery, p99", (("process:pitwall_kafka_delivery_seconds:p99", "{{process}}"),), "s"),
            Panel(
                "Kafka: refused records",
                (("sum by (process, error) (rate(pitwall_kafka_delivery_errors_total[5m]))", "{{process}} {{error}}"),),
                "ops",
            ),
            Panel(
                "Missing readings",
                (("max by (state) (pitwall_fleet_gap_readings)", "{{state}}"),),
                text="Made by vehicles and not in vehicle-telemetry; what is open may still come",
            ),
            Panel("Oldest open gap", (("max(pitwall_fleet_gaps_oldest_seconds)", "known for"),), "s"),
            Panel(
                "Outbox",
                (("pitwall_agent_outbox_size_bytes", "waiting"), ("pitwall_agent_outbox_limit_bytes", "limit")),
                "bytes",
            ),
        ),
    ),
    Row(
        "What people see",
        (
            Panel(
                "Sampled to alert",
                (("site:pitwall_alert_latency_seconds:p50", "p50"), ("site:pitwall_alert_latency_seconds:p99", "p99")),
                "s",
            ),
            Panel("Open alerts", (("pitwall_fleet_alerts_open", "{{process}}"),)),
            Panel(
                "Unreadable or too late",
                (
                    ("sum by (topic) (increase(pitwall_fleet_records_poison_total[5m]))", "unreadable {{topic}}"),
                    (
                        'sum(increase(flink_taskmanager_job_task_operator_deserializer_undecodable{job_name!~".+recompute.batch"}[5m]))',
                        "unreadable reading",
                    ),
                    ("sum(increase(flink_taskmanager_job_task_operator_numLateRecordsDropped[5m]))", "too late"),
                ),
            ),
            Panel("Consumer lag", (("pitwall_kafka_consumer_lag_records", "{{topic}}"),)),
            Panel(
                "Stream job: readings behind",
                (("sum(flink_taskmanager_job_task_operator_pendingRecords)", "pending"),),
            ),
            Panel(
                "Stream job: age of the last checkpoint",
                (("time() - pitwall_stream_job_checkpoint_timestamp_seconds", "{{process}}"),),
                "s",
            ),
            Panel(
                "Stream job: windows' time behind",
                (("site:pitwall_stream_job_watermark_lag_seconds:max", "watermark"),),
                "s",
            ),
            Panel(
                "Stream job: checkpoints",
                (
                    ("max(flink_jobmanager_job_lastCheckpointDuration) / 1000", "duration"),
                    ("sum(increase(flink_jobmanager_job_numberOfFailedCheckpoints[5m]))", "failed"),
                ),
                "s",
            ),
            Panel("Stream job: state", (("max(flink_jobmanager_job_lastCheckpointFullSize)", "checkpoint"),), "bytes"),
            Panel(
                "Stream job: runs, restarts",
                (
                    ("pitwall_stream_job_running", "runs"),
                    ("flink_jobmanager_job_numRestarts", "restarts"),
                    ("pitwall_stream_job_submissions_total", "submissions"),
                ),
            ),
        ),
    ),
    Row(
        "Calls and processes",
        (
            Panel(
                "Calls by status",
                (
                    (
                        "sum by (job, grpc_status) (rate(grpc_server_call_duration_seconds_count[1m]))",
                        "{{job}} {{grpc_status}}",
                    ),
                ),
                "ops",
            ),
            Panel(
                "Duration, p99",
                (("method:grpc_server_call_duration_seconds:p99", "{{grpc_method}}"),),
                "s",
            ),
            Panel("CPU", (("rate(process_cpu_seconds_total[1m])", "{{process}}"),), "percentunit"),
            Panel("Memory", (("process_resident_memory_bytes", "{{process}}"),), "bytes"),
            Panel("Room on disks", (("process:pitwall_disk_free:ratio", "{{process}} {{disk}}"),), "percentunit"),
            Panel(
                "Certificates end in",
                (
                    (
                        "min by (process, certificate) (pitwall_certificate_expiry_timestamp_seconds) - time()",
                        "{{process}} {{certificate}}",
                    ),
                ),
                "s",
            ),
        ),
    ),
)
