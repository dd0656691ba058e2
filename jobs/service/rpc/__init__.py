"""The gRPC API of the service. Its answers come from the functions behind the HTTP API.

In: calls of `streamgauge.proto`, with a token in the metadata.
Out: the same answers and the same errors as over HTTP.
"""
