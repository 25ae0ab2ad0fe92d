"""Serves the current directory as an https host while a command runs; exits as it does.

usage: stand_in.py KEY CERTIFICATE COMMAND [ARGUMENT...]
"""

import http.server
import ssl
import subprocess
import sys
import threading

key, certificate, command = sys.argv[1], sys.argv[2], sys.argv[3:]
server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(subprocess.call(command))
