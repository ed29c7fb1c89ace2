"""The journal: records on this machine's disk until they are delivered, and a while after.

`segments` and `signals` say what the bytes mean, `folder` and `writer` put
them on disk, `processor` and `metrics` fit them to any SDK provider, `reader`
takes executions back out, `sender` ships what is wanted elsewhere.
"""
