"""Files in JetStream's object store: `store` implements the port.

`chunk_sender` and `chunk_reader` move chunks, `bucket` knows names and metas, `fetch` and `part_file` write a
file that can be resumed, `result_names` says where the chunks of a result lie.
"""
