"""Step 2 of reading, for records that are written with a schema: Avro, Protobuf and JSON Schema.

In: the bytes of a record, and a schema registry.
Out: the document in it, as JSON would give it; an error with a reason for what cannot be read.
"""
