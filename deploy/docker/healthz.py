"""Health of the process beside it in the container, for HEALTHCHECK: exit code 0 where GET answers 200, else 1.

python healthz.py [FILE | URL]: the /healthz of the settings in FILE (the container's own by default), or any URL.
Standard library only: the images have no curl.
"""

import http.client
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

CONFIG = "/etc/pitwall/config.toml"
TIMEOUT_S = 2.0


def main(where: str = CONFIG) -> int:
    """Prints what is wrong, which `docker inspect` then shows."""
    host, path = _target(where)
    # http.client, because urllib would obey a proxy in the environment.
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        print(f"http://{host}{path}: {error}")
        return 1
    finally:
        connection.close()
    if response.status == http.client.OK:
        return 0
    print(body.decode(errors="replace"))
    return 1


def _target(where: str) -> tuple[str, str]:
    """(host:port, path)"""
    url = urlsplit(where)
    if url.scheme:
        return url.netloc, url.path
    port = tomllib.loads(Path(where).read_text(encoding="utf-8"))["metrics_address"].rpartition(":")[2]
    return f"127.0.0.1:{port}", "/healthz"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
