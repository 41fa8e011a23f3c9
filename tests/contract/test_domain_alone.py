"""pitwall.domain needs nothing but the standard library: the stream jobs import it beside other versions of grpc."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_module_of_the_domain_imports_without_site_packages() -> None:
    modules = [f"pitwall.domain.{path.stem}" for path in sorted((ROOT / "pitwall/domain").glob("[!_]*.py"))]
    assert len(modules) >= 7
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {', '.join(modules)}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
