#!/usr/bin/env python3
"""Servers for the lab: DNS, HTTP, TLS, SMTP with STARTTLS, and HTTP/3 where aioquic is there.

Every name exists: its address is 203.0.113.N with N made from the name, so that a name keeps its
address from run to run. Only the standard library is needed (aioquic adds HTTP/3).
"""
import argparse
import asyncio
import pathlib
import socketserver
import ssl
import struct
import sys
import threading
import zlib

PAGE = b"<html><head><title>lab</title></head><body>hello from the lab</body></html>\n"


def address(name):
    """the last octet of a name's address; .53 is the resolver's own"""
    n = 1 + zlib.crc32(name.lower().encode()) % 90
    return n if n != 53 else 91


def read_name(message, at):
    labels = []
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]])
        at += 1 + message[at]
    return b".".join(labels).decode("latin-1"), at + 1


def answer(query):
    """one response: A, AAAA (empty), HTTPS with ALPN h3; a CNAME for names that begin with www."""
    name, end = read_name(query, 12)
    qtype, = struct.unpack(">H", query[end : end + 2])
    question = query[12 : end + 4]
    records = []
    owner = b"\xc0\x0c"
    if qtype == 1:
        if name.lower().startswith("www."):
            target = b"\x04edge\x03cdn\x07example\x00"
            records.append(owner + struct.pack(">HHIH", 5, 1, 60, len(target)) + target)
            owner = target
        records.append(owner + struct.pack(">HHIH4B", 1, 1, 60, 4, 203, 0, 113, address(name)))
    elif qtype == 65:
        alpn = b"\x02h3\x02h2"
        rdata = struct.pack(">H", 1) + b"\x00" + struct.pack(">HH", 1, len(alpn)) + alpn
        records.append(owner + struct.pack(">HHIH", 65, 1, 60, len(rdata)) + rdata)
    header = query[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, len(records), 0, 0)
    return header + question + b"".join(records)


class DnsUdp(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(answer(data), self.client_address)


class DnsTcp(socketserver.StreamRequestHandler):
    def handle(self):
        while len(prefix := self.rfile.read(2)) == 2:
            out = answer(self.rfile.read(int.from_bytes(prefix, "big")))
            self.wfile.write(len(out).to_bytes(2, "big") + out)


class Http(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            while line := self.rfile.readline(65536):
                length = 0
                while (head := self.rfile.readline(65536)) not in (b"\r\n", b"\n", b""):
                    if head.lower().startswith(b"content-length:"):
                        length = int(head.split(b":")[1])
                self.rfile.read(length)
                body = b"" if line.startswith(b"HEAD") else PAGE
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + body
                )
        except (OSError, ssl.SSLError):
            pass


class Smtp(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 mail.lab.example ESMTP\r\n")
        while line := self.rfile.readline(4096):
            verb = line.strip().upper()
            if verb.startswith(b"EHLO"):
                self.wfile.write(b"250-mail.lab.example\r\n250 STARTTLS\r\n")
            elif verb == b"STARTTLS":
                self.wfile.write(b"220 go ahead\r\n")
                try:
                    with self.server.context.wrap_socket(self.request, server_side=True) as tls:
                        tls.recv(4096)
                except (OSError, ssl.SSLError):
                    pass
                return
            elif verb == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port, handler, context=None, wrap=False):
        self.context, self.wrap = context, wrap
        super().__init__(("0.0.0.0", port), handler)

    def finish_request(self, request, client_address):
        if self.wrap:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (OSError, ssl.SSLError):
                return
        super().finish_request(request, client_address)


class Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True


def serve_h3(cert, key, ready):
    from aioquic.asyncio import QuicConnectionProtocol, serve
    from aioquic.h3.connection import H3_ALPN, H3Connection
    from aioquic.h3.events import HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import ProtocolNegotiated

    class H3(QuicConnectionProtocol):
        http = None

        def quic_event_received(self, event):
            if isinstance(event, ProtocolNegotiated):
                self.http = H3Connection(self._quic)
            if self.http is None:
                return
            for item in self.http.handle_event(event):
                if isinstance(item, HeadersReceived):
                    head = [(b":status", b"200"), (b"content-type", b"text/html")]
                    self.http.send_headers(item.stream_id, head)
                    self.http.send_data(item.stream_id, PAGE, end_stream=True)
                    self.transmit()

    async def run():
        configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
        configuration.load_cert_chain(cert, key)
        # One socket an address: a wildcard socket would answer from the first address of all.
        for n in range(1, 100):
            host = f"203.0.113.{n}"
            await serve(host, 443, configuration=configuration, create_protocol=H3)
        ready.touch()
        await asyncio.Event().wait()

    asyncio.run(run())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--ready", required=True, type=pathlib.Path)
    args = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)
    servers = [
        Udp(("203.0.113.53", 53), DnsUdp),
        Tcp(53, DnsTcp),
        Tcp(80, Http),
        Tcp(8080, Http),
        Tcp(443, Http, context, wrap=True),
        Tcp(8443, Http, context, wrap=True),
        Tcp(25, Smtp, context),
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        import aioquic  # noqa: F401
    except ImportError:
        print("no aioquic: no HTTP/3", file=sys.stderr)
        args.ready.touch()
        threading.Event().wait()
    else:
        serve_h3(args.cert, args.key, args.ready)


if __name__ == "__main__":
    main()
