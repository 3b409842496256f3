"""What several tests share: small networks and batches, inputs of metrics, layouts of data sets, other libraries."""
