#!/usr/bin/env python3
"""Servers for the lab: DNS, HTTP, TLS, what turns to TLS after STARTTLS, proxies that end the
tunnel themselves, and HTTP/3 where aioquic is there.

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
            if verb.startswith((b"EHLO", b"LHLO")):
                self.wfile.write(b"250-mail.lab.example\r\n250 STARTTLS\r\n")
            elif verb == b"STARTTLS":
                self.wfile.write(b"220 go ahead\r\n")
                turn_to_tls(self)
                return
            elif verb == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


class Lines(socketserver.StreamRequestHandler):
    """greets, answers each line, and turns to TLS after the one that asks for it"""

    # what the server says first; what answers a line, by a word in it; what answers any other
    greeting, answers, other, asks = b"", {}, b"", b"STARTTLS"

    def handle(self):
        self.wfile.write(self.greeting)
        while line := self.rfile.readline(4096).upper():
            words = line.split()
            reply = next((reply for word, reply in self.answers.items() if word in words), self.other)
            tag = words[0] if words else b""
            self.wfile.write(reply.replace(b"TAG", tag))
            if self.asks in words:
                turn_to_tls(self)
                return


class Imap(Lines):
    greeting = b"* OK ready\r\n"
    answers = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\nTAG OK done\r\n"}
    other = b"TAG OK done\r\n"


class Pop3(Lines):
    greeting, other, asks = b"+OK ready\r\n", b"+OK\r\n", b"STLS"


class Ftp(Lines):
    greeting, other, asks = b"220 ready\r\n", b"234 ok\r\n", b"AUTH"
    answers = {b"FEAT": b"211-features\r\n AUTH TLS\r\n211 end\r\n"}


class Nntp(Lines):
    greeting, other = b"200 ready\r\n", b"382 go ahead\r\n"
    answers = {b"CAPABILITIES": b"101 capabilities\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n"}


class Sieve(Lines):
    greeting = b'"IMPLEMENTATION" "lab"\r\n"STARTTLS"\r\nOK\r\n'
    other = b"OK\r\n"


class Irc(Lines):
    other = b":lab 670 you :STARTTLS successful, go ahead\r\n"
    answers = {b"CAP": b":lab CAP you LS :tls\r\n"}


class Xmpp(socketserver.BaseRequestHandler):
    def handle(self):
        read_until(self.request, b">", b"stream:stream")
        self.request.sendall(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
            b"xmlns:stream='http://etherx.jabber.org/streams' from='lab' id='1' version='1.0'>"
            b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
        )
        read_until(self.request, b">", b"<starttls")
        self.request.sendall(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        turn_to_tls(self)


class Ldap(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(4096)
        # ExtendedResponse, success (RFC 4511 4.14.2)
        self.request.sendall(bytes.fromhex("300c02010178070a010004000400"))
        turn_to_tls(self)


class Postgres(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(8)
        self.request.sendall(b"S")
        turn_to_tls(self)


class Mysql(socketserver.BaseRequestHandler):
    def handle(self):
        # HandshakeV10 with CLIENT_SSL among the capabilities
        rest = b"\x0a8.0\0" + struct.pack("<I", 1) + b"12345678\0" + b"\xff\xff" + b"\x21\x02\0\xff\xff\x15" + bytes(10)
        rest += b"123456789012\0"
        self.request.sendall(len(rest).to_bytes(3, "little") + b"\0" + rest)
        self.request.recv(36)
        turn_to_tls(self)


class Connect(socketserver.StreamRequestHandler):
    """an HTTP proxy that is every server behind it"""

    rbufsize = 0

    def handle(self):
        line = self.rfile.readline(4096)
        while self.rfile.readline(4096).strip():
            pass
        if line.startswith(b"CONNECT "):
            self.wfile.write(b"HTTP/1.1 200 ok\r\n\r\n")
            turn_to_https(self)
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE)


class Socks(socketserver.StreamRequestHandler):
    """a SOCKS proxy, of version 5 and 4a, that is every server behind it"""

    rbufsize = 0

    def handle(self):
        version, methods = self.rfile.read(2)
        if version == 4:
            self.rfile.read(6)
            # user id and host, each up to a zero
            for _ in range(2):
                while self.rfile.read(1) not in (b"\0", b""):
                    pass
            self.wfile.write(b"\0\x5a" + bytes(6))
            turn_to_https(self)
            return
        self.rfile.read(methods)
        self.wfile.write(b"\x05\x00")
        kind = self.rfile.read(4)[3]
        self.rfile.read({1: 4, 4: 16}.get(kind) or self.rfile.read(1)[0])
        self.rfile.read(2)
        self.wfile.write(b"\x05\x00\x00\x01\0\0\0\0\0\0")
        turn_to_https(self)


class ProxyHeader(socketserver.StreamRequestHandler):
    """a server behind a load balancer that speaks the PROXY protocol"""

    rbufsize = 0

    def handle(self):
        self.rfile.readline(108)
        turn_to_https(self)


def read_until(sock, end, after):
    """reads until `end` comes behind `after`"""
    seen = b""
    while not (after in seen and end in seen[seen.index(after) :]):
        octets = sock.recv(4096)
        if not octets:
            return
        seen += octets


def turn_to_tls(handler):
    try:
        with handler.server.context.wrap_socket(handler.request, server_side=True) as tls:
            tls.recv(4096)
    except (OSError, ssl.SSLError):
        pass


def turn_to_https(handler):
    try:
        tls = handler.server.context.wrap_socket(handler.request, server_side=True)
    except (OSError, ssl.SSLError):
        return
    Http(tls, handler.client_address, handler.server)


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
        Tcp(3128, Connect, context),
        Tcp(1080, Socks, context),
        Tcp(8444, ProxyHeader, context),
        Tcp(24, Smtp, context),
        Tcp(25, Smtp, context),
        Tcp(21, Ftp, context),
        Tcp(110, Pop3, context),
        Tcp(119, Nntp, context),
        Tcp(143, Imap, context),
        Tcp(389, Ldap, context),
        Tcp(3306, Mysql, context),
        Tcp(4190, Sieve, context),
        Tcp(5222, Xmpp, context),
        Tcp(5269, Xmpp, context),
        Tcp(5432, Postgres, context),
        Tcp(6667, Irc, context),
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
