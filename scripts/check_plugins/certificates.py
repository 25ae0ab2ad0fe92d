"""A CA, another one, and certificates of a server and a client."""

import subprocess


def make_certificates(bench):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=bench.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other-ca"):
        openssl("req", "-x509", *key, "-subj", f"/CN={name}", "-days", "2", "-keyout", name + ".key", "-out", name + ".crt")
    for name in ("server", "client"):
        bench.write(name + ".ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", *key, "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".csr")
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", name + ".ext", "-out", name + ".crt")
