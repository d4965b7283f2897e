"""Scale-ups as OpenTelemetry traces: what became of each launch, to whoever takes OTLP."""
