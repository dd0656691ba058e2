"""An autoencoder in Keras, trained on a CSV file and written as ONNX, for `streamgauge models import`.

It needs packages that Streamgauge does not: pip install tensorflow-cpu tf2onnx, in an environment of their own. Then:

    python keras_autoencoder.py history.csv pressure,flow,rpm pumps.onnx
    streamgauge models import pumps pumps.onnx history.csv --features pressure,flow,rpm --entity-column pump
"""

from __future__ import annotations

import sys

import keras
import numpy as np
import pandas as pd
import tf2onnx


def train(X: np.ndarray) -> keras.Model:
    """A network that gives back the fields that it takes, in their own units; it normalises them itself."""
    fields = X.shape[1]
    before, after = keras.layers.Normalization(), keras.layers.Normalization(invert=True)
    before.adapt(X)
    after.adapt(X)
    taken = keras.Input((fields,))
    hidden = keras.layers.Dense(48, activation="relu")(before(taken))
    narrow = keras.layers.Dense(max(1, fields // 3))(hidden)
    hidden = keras.layers.Dense(48, activation="relu")(narrow)
    network = keras.Model(taken, after(keras.layers.Dense(fields)(hidden)))
    weights = 1 / np.maximum(X.var(axis=0), 1e-12)
    network.compile("adam", lambda wanted, given: keras.ops.mean(weights * (wanted - given) ** 2, axis=-1))
    network.fit(X, X, epochs=60, batch_size=64, verbose=0)
    return network


def main() -> None:
    """Train on the fields of a file, and write the network."""
    file, fields, network = sys.argv[1:]
    X = pd.read_csv(file)[fields.split(",")].dropna().to_numpy(np.float32)
    tf2onnx.convert.from_keras(train(X), opset=17, output_path=network)
    print(f"wrote {network}")


if __name__ == "__main__":
    main()
