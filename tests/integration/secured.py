# secured.py - a stack whose servers want TLS and a password, and whose tools get every secret out of files.
# SPDX-License-Identifier: Apache-2.0
import os
import re
import socket
import ssl
import subprocess

import psycopg2
import redis as redis_client
from stack import KAFKA_ENV, Stack, die_with_parent, free_port, wait_until

# Each is found by a grep, whatever it is a part of.
PASSWORDS = {"postgres": "pg-hunter2-41", "redis": "re-hunter2-42", "kafka": "ka-hunter2-43"}
JWT_SECRET = "jw-hunter2-44, which is long enough for HS256"
SECRETS = [*PASSWORDS.values(), JWT_SECRET]
OPENSSL = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]

KAFKA_LISTENERS = """listeners=PLAINTEXT://127.0.0.1:{inner},SASL_SSL://127.0.0.1:{outer},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{inner},SASL_SSL://127.0.0.1:{outer},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_app="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={directory}/kafka.pem
"""
KAFKA_PROPERTIES = """security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.username=app
sasl.password={password}
ssl.ca.location={ca}
"""


class Certificates:
    """A certificate authority, one that nobody knows, and the servers' certificates, all below one directory."""

    def __init__(self, directory):
        self.directory = directory
        self.ca, self.other_ca = self.authority("ca"), self.authority("other")
        self.cert, self.key = self.path("server.pem"), self.path("server.key")
        self.run(*OPENSSL, "-CA", self.ca, "-CAkey", self.path("ca.key"), "-subj", "/CN=127.0.0.1", "-addext",
                 "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE", "-keyout", self.key, "-out", self.cert)
        for name in os.listdir(directory):
            os.chmod(self.path(name), 0o644)

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def flags(self):
        """What a daemon of ours serves TLS with."""
        return ["--tls-cert", self.cert, "--tls-key", self.key]

    def trust(self):
        """A client's context that knows the authority, and takes no cut for the end of a connection."""
        trust = ssl.create_default_context(cafile=self.ca)
        trust.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        return trust

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, capture_output=True)

    def authority(self, name):
        self.run(*OPENSSL, "-subj", "/CN=" + name, "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem"))
        return self.path(name + ".pem")


class Tunnel:
    """stunnel: TLS on one side, plain TCP on the other."""

    def __init__(self, directory, **settings):
        self.port = free_port()
        name = os.path.join(directory, f"stunnel-{self.port}")
        lines = ["foreground = yes", "pid =", "[tunnel]", f"accept = 127.0.0.1:{self.port}"]
        with open(name + ".conf", "w") as file:
            file.write("\n".join(lines + [f"{key} = {value}" for key, value in settings.items()]) + "\n")
        self.log = name + ".log"
        self.process = subprocess.Popen(["stunnel4", name + ".conf"], stderr=open(self.log, "w"), preexec_fn=die_with_parent)
        wait_until(self.is_listening, 20, "the tunnel listens")

    def is_listening(self):
        assert self.process.poll() is None, open(self.log).read()
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait()


def server_tunnel(stack, port):
    """TLS in front of one of our listeners, as an Ingress has it."""
    return Tunnel(stack.directory, connect=f"127.0.0.1:{port}", cert=stack.certificates.cert, key=stack.certificates.key,
                  sslVersionMin="TLSv1.2")


class SecuredStack(Stack):
    def __init__(self, directory):
        super().__init__(directory)
        os.mkdir(self.path("certificates"))
        self.certificates = Certificates(self.path("certificates"))
        self.ports["kafka_outer"], self.ports["redis_tls"] = free_port(), free_port()
        self.tunnels = []
        self.plain_env = dict(self.env)
        listeners = KAFKA_LISTENERS.format(inner=self.ports["kafka"], outer=self.ports["kafka_outer"], password=PASSWORDS["kafka"],
                                           controller=self.ports["controller"], directory=self.certificates.directory)
        self.kafka_env = {**KAFKA_ENV, "KAFKA_PROPERTIES": listeners + KAFKA_ENV["KAFKA_PROPERTIES"]}

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def database_url(self, password=PASSWORDS["postgres"], ca=None, host="127.0.0.1"):
        return (f"postgresql://votepipe:{password}@{host}:{self.ports['postgres']}/votepipe"
                f"?sslmode=verify-full&sslrootcert={ca or self.certificates.ca}")

    def redis_url(self, password=PASSWORDS["redis"], port=None):
        return f"redis://app:{password}@127.0.0.1:{port or self.tunnels[0].port}"

    def kafka_properties(self, password=PASSWORDS["kafka"], ca=None):
        return KAFKA_PROPERTIES.format(password=password, ca=ca or self.certificates.ca)

    def secret_file(self, name, content):
        with open(self.path(name), "w") as file:
            file.write(content + "\n")
        return self.path(name)

    def start_servers(self):
        with open(self.certificates.path("kafka.pem"), "w") as file:
            file.write(open(self.certificates.key).read() + open(self.certificates.cert).read() + open(self.certificates.ca).read())
        super().start_servers()
        self.secure_postgres()
        self.secure_redis()
        for name in ("VOTE_DATABASE_URL", "VOTE_REDIS_URL", "VOTE_JWT_SECRET"):
            del self.env[name]
        self.env.update(VOTE_KAFKA_BROKERS=f"127.0.0.1:{self.ports['kafka_outer']}",
                        VOTE_KAFKA_PROPERTY_FILE=self.secret_file("kafka.secret", self.kafka_properties()),
                        VOTE_DATABASE_URL_FILE=self.secret_file("postgres.secret", self.database_url()),
                        VOTE_REDIS_URL_FILE=self.secret_file("redis.secret", self.redis_url()),
                        VOTE_JWT_SECRET_FILE=self.secret_file("jwt.secret", JWT_SECRET))

    def secure_postgres(self):
        """TLS and a password for who comes by TCP; nobody else may."""
        data = self.path("postgres", "data")
        owner = os.stat(data)
        for source, name in ((self.certificates.cert, "server.crt"), (self.certificates.key, "server.key")):
            target = os.path.join(data, name)
            with open(target, "w") as file:
                file.write(open(source).read())
            os.chmod(target, 0o600)
            os.chown(target, owner.st_uid, owner.st_gid)
        with self.admin_connection() as cursor:
            cursor.execute(f"alter role votepipe password '{PASSWORDS['postgres']}'")
            cursor.execute("alter system set ssl = on")
            with open(os.path.join(data, "pg_hba.conf"), "w") as file:
                file.write("hostssl all all 127.0.0.1/32 scram-sha-256\n")
            cursor.execute("select pg_reload_conf()")
        wait_until(lambda: self.is_secured(), 20, "postgres wants TLS")

    def admin_connection(self):
        connection = super().connect()
        connection.autocommit = True
        return connection.cursor()

    def is_secured(self):
        result = subprocess.run(["psql", self.database_url(), "-Atc", "show ssl"], capture_output=True, text=True)
        refused = subprocess.run(["psql", self.plain_env["VOTE_DATABASE_URL"], "-c", ""], capture_output=True)
        return result.stdout.strip() == "on" and refused.returncode != 0

    def secure_redis(self):
        """A user with a password, and a TLS port that a tunnel goes to."""
        admin = redis_client.Redis(port=self.ports["redis"], decode_responses=True)
        admin.config_set("tls-cert-file", self.certificates.cert, "tls-key-file", self.certificates.key,
                         "tls-ca-cert-file", self.certificates.ca, "tls-auth-clients", "no", "tls-port", self.ports["redis_tls"])
        admin.execute_command("ACL", "SETUSER", "app", "on", ">" + PASSWORDS["redis"], "~*", "&*", "+@all")
        admin.execute_command("CONFIG", "SET", "requirepass", PASSWORDS["redis"])
        self.tunnels.append(self.redis_tunnel(self.certificates.ca))

    def redis_tunnel(self, ca):
        return Tunnel(self.directory, client="yes", connect=f"127.0.0.1:{self.ports['redis_tls']}", CAfile=ca,
                      verifyChain="yes", checkIP="127.0.0.1")

    def redis(self):
        return redis_client.Redis(port=self.ports["redis"], password=PASSWORDS["redis"], decode_responses=True)

    def connect(self):
        return psycopg2.connect(self.database_url())

    def stop(self):
        super().stop()
        for tunnel in self.tunnels:
            tunnel.stop()


def leaks(text):
    """Which of the secrets stand in the text."""
    return [secret for secret in SECRETS if re.search(re.escape(secret.split(",")[0]), text)]
