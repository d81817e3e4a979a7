"""Files in JetStream's object store: `store` implements the port.

`chunk_sender` and `chunk_reader` move chunks, `bucket` reads and writes metas, `fetch` and `part_file`
download to a file and resume, `result_names` maps a result's name to the subjects of its chunks.
"""
