"""A small server for exported models, for development and tests: `zoo serve`.

It answers what TensorFlow Serving answers: REST (`POST /v1/models/NAME:predict`, status, metadata,
error bodies) and gRPC (`PredictionService`, `ModelService`), and shows a web page at `/`. It loads
SavedModels with TensorFlow alone, as a deployment does, and knows nothing of the zoo's models:

    repository   which SavedModels there are, by name and version
    servable     one of them: its signatures, checks of their inputs, inference
    json_tensors the JSON of REST requests and answers
    rest, page   HTTP: the REST interface, and the web page
    gate, hosts  who may ask over HTTP: no page of another site
    rpc          gRPC
    proto_tensors, warmup   the messages of gRPC, and those that an export is warmed up with
    ports        bound before anything is loaded
    server       both on one event loop, inference in a pool of threads

No authentication, no encryption, no batching across requests: deploy TensorFlow Serving itself.

Stricter than TensorFlow Serving in four places, so that a mistake shows early: integers outside
their dtype's range, unknown names in `inputs`, zero rows, and requests above `Limits` are refused.
"""
