#!/bin/sh
# Writes proto/gen (or the folder named) anew from the .proto files: messages, typed stubs, gRPC stubs.
set -eu
cd "$(dirname "$0")"
python="${PYTHON:-../.venv/bin/python}"
out="${1:-gen}"
bin="$(cd "$(dirname "$("$python" -c 'import sys; print(sys.executable)')")" && pwd)"
rm -rf "$out"
mkdir -p "$out"
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -I. \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
  $(find haul -name '*.proto' | sort)
# grpc_tools writes a gRPC stub also for files without a service: those say nothing.
find "$out" -name '*_pb2_grpc.py*' ! -name '*_service_pb2_grpc.py*' -delete
