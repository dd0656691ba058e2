"""Traces of the service: how long each request and each write into the history took, sent to a collector of OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import NoOpTracerProvider, TracerProvider

if TYPE_CHECKING:
    from fastapi import FastAPI

NAME = "streamgauge"
NOT_TRACED = "/healthz,/readyz,/metrics,/static/.*"
ANSWER = 5  # seconds for an answer of the collector


class Traces:
    """Sends spans to a collector. If it is away, they are dropped, and nothing waits for it.

    Parameters
    ----------
    address : str, optional
        Of the collector, for OTLP over HTTP; without one nothing is traced.
    """

    def __init__(self, address: str | None) -> None:
        self._provider: TracerProvider = NoOpTracerProvider()
        self._on = address is not None
        if address is not None:
            # OpenTelemetry is loaded only where it is used
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk import trace  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

            exporter = OTLPSpanExporter(f"{address.rstrip('/')}/v1/traces", timeout=ANSWER)
            provider = trace.TracerProvider(resource=Resource.create({"service.name": NAME}))
            provider.add_span_processor(BatchSpanProcessor(exporter))
            self._provider = provider
            self._stop = provider.shutdown
        self.tracer = self._provider.get_tracer(NAME)

    def watch(self, app: FastAPI) -> None:
        """Trace the requests of an application."""
        if self._on:
            from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: PLC0415

            FastAPIInstrumentor.instrument_app(
                app, tracer_provider=self._provider, excluded_urls=NOT_TRACED, exclude_spans=["receive", "send"]
            )

    def stop(self) -> None:
        """Send what is left, and end."""
        if self._on:
            self._stop()
