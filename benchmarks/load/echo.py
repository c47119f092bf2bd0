"""`python -m benchmarks.load.echo BYTES`: the peer, a bare asyncio server on port 4028 of every loopback address.

It answers whatever comes with so many bytes, the length of an average reply of the site, and closes.
"""

from __future__ import annotations

import asyncio
import socket
import sys


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(REPLY)  # type: ignore[attr-defined]
        self.transport.close()


async def _serve() -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1" if len(sys.argv) < 3 else sys.argv[2], 4029))
    sock.listen(4096)
    server = await asyncio.get_running_loop().create_server(_Echo, sock=sock, backlog=4096)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    REPLY = b"x" * int(sys.argv[1])
    asyncio.run(_serve())
