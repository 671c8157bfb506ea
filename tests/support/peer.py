"""A peer that speaks the session protocol by itself, with credentials of its own choice: what an attacker can do."""

import hashlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile

CONNECT, CONNECT_OK, CONNECT_DENIED, DATA, CHECKPOINT, FINISH, CLOSE, SUSPEND, RESUME, RESUME_OK, RESUME_DENIED, PING, \
    ABORT = range(1, 14)
VERSION = 1
WINDOW = 1 << 20
ALPN = "sessionfs/1"
ANSWER_LIMIT_S = 20


def frame(kind, payload=b""):
    return struct.pack(">I", kind << 24 | len(payload)) + payload


def progress(held=0, limit=WINDOW):
    return struct.pack(">QQB", held, limit, 0)


def connect(session, service, generation=1):
    name = service.encode()
    return frame(CONNECT, struct.pack(">H16sQQI", VERSION, session, generation, WINDOW, len(name)) + name)


def resume(session, attempt, from_creator, generation=1, held=0, source=1):
    return frame(RESUME, struct.pack(">H16sQQB", VERSION, session, generation, attempt, from_creator) +
                 progress(held, held + WINDOW) + struct.pack(">Q", source))


def data(offset, content):
    return frame(DATA, struct.pack(">Q", offset) + content)


def server_name(endpoint):
    """What a dialler puts into its SNI to mean this endpoint."""
    return hashlib.sha256(endpoint.encode()).hexdigest()[:32] + ".sessionfs.invalid"


class Credentials:
    """A certificate and its key, in files."""

    def __init__(self, certificate, key, folder):
        handle, self.file = tempfile.mkstemp(suffix=".pem", dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(key + b"\n" + certificate + b"\n")

    @classmethod
    def of_record(cls, record, folder):
        """Of an endpoint's record, the file `.endpoint`."""
        key = re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", record, re.DOTALL)
        certificate = re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", record, re.DOTALL)
        return cls(certificate.group(0), key.group(0), folder)

    @classmethod
    def self_signed(cls, name, folder):
        """A certificate that says to be `name`, and that no authority has signed."""
        key, certificate = os.path.join(folder, "forged.key"), os.path.join(folder, "forged.crt")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "10", "-subj", "/CN=forged", "-addext", f"subjectAltName=email:{name}", "-keyout", key,
                        "-out", certificate], check=True, capture_output=True)
        with open(key, "rb") as key_file, open(certificate, "rb") as certificate_file:
            return cls(certificate_file.read(), key_file.read(), folder)


def client_context(credentials, newest=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    context.set_alpn_protocols([ALPN])
    if credentials:
        context.load_cert_chain(credentials)
    return context


def read_frame(connection):
    """(kind, payload), or None at the end of the connection."""
    buffered = b""
    while len(buffered) < 4 or len(buffered) < 4 + (int.from_bytes(buffered[1:4], "big")):
        try:
            more = connection.recv(65536)
        except (ssl.SSLError, ConnectionError):
            more = b""
        if not more:
            return None
        buffered += more
    return buffered[0], buffered[4:4 + int.from_bytes(buffered[1:4], "big")]


def ask(address, port, endpoint, credentials, frames, newest=ssl.TLSVersion.TLSv1_3):
    """Connects as somebody to `endpoint`, sends frames, and returns what comes back first: (kind, payload), "closed",
    "silent", or "refused" when the handshake fails."""
    try:
        with socket.create_connection((address, port), ANSWER_LIMIT_S) as plain:
            context = client_context(credentials, newest)
            with context.wrap_socket(plain, server_hostname=server_name(endpoint)) as connection:
                connection.settimeout(ANSWER_LIMIT_S)
                connection.sendall(frames)
                # In TLS 1.3 a client learns only by reading that its certificate was refused.
                return read_frame(connection) or "closed"
    except TimeoutError:
        return "silent"
    except (ssl.SSLError, ConnectionError):
        return "refused"


def pretend(address, port, credentials):
    """Answers at `port` as a server with these credentials; tells what it gets once the handshake is done."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials)
    context.set_alpn_protocols([ALPN])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=50) as server:
        print(json.dumps("listens"), flush=True)
        while True:
            plain, _ = server.accept()
            plain.settimeout(ANSWER_LIMIT_S)
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    got = connection.recv(65536)
                    print(json.dumps(["got", got.hex()]), flush=True)
            except (OSError, ssl.SSLError) as error:
                print(json.dumps(["refused", str(error)]), flush=True)


def main():
    """peer.py ask ADDRESS PORT ENDPOINT CREDENTIALS [TLS1.2] < FRAMES | pretend ADDRESS PORT CREDENTIALS"""
    what, address, port, *rest = sys.argv[1:]
    if what == "pretend":
        pretend(address, int(port), rest[0])
    newest = ssl.TLSVersion.TLSv1_2 if rest[2:] == ["TLS1.2"] else ssl.TLSVersion.TLSv1_3
    answer = ask(address, int(port), rest[0], rest[1] or None, sys.stdin.buffer.read(), newest)
    print(json.dumps(answer if isinstance(answer, str) else [answer[0], answer[1].hex()]))


if __name__ == "__main__":
    main()
