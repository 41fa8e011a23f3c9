"""The one table of bad input: whatever is wrong, who refuses it, with which code and reason, what the text names, the
exit code, and what is counted. Read by test_bad_input.py; its parts are in the files beside it.
"""

from tests.integration.bad_input.rows import Row
from tests.integration.bad_input.table_cli import CLI
from tests.integration.bad_input.table_console import FLEET_CLI
from tests.integration.bad_input.table_fleet import READS
from tests.integration.bad_input.table_registry import WRITES
from tests.integration.bad_input.table_rpc import RPC
from tests.integration.bad_input.table_startup import STARTUP
from tests.integration.bad_input.table_vehicle import READING, STREAM

TABLE: tuple[Row, ...] = CLI + FLEET_CLI + RPC + READS + WRITES + READING + STREAM + STARTUP
