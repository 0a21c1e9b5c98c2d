"""InferenceServices that KServe runs in Standard mode: its Deployments, taken as if they carried our label."""
