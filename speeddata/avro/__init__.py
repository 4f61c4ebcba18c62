"""Avro in bytes and columns: schemas, datums, containers. Specification 1.12."""
