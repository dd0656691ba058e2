"""The gRPC door of the service. What it says, it takes from the functions behind the HTTP API.

In: calls of `streamgauge.proto`, with a token in the metadata.
Out: the same answers and the same errors as over HTTP.
"""
