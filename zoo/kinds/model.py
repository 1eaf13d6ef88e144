"""What every model of the zoo is, whatever it can do: a Keras model with a config and spaces.

A kind (`zoo.kinds.flow` and the files beside it) adds capabilities, a family its networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import tensorflow as tf

from zoo.core import checks, forks
from zoo.core.capabilities import Bijective
from zoo.core.config import ModelConfig
from zoo.core.context_checks import checked_condition
from zoo.core.encoding import in_order
from zoo.core.release import Release
from zoo.core.space import Space
from zoo.errors import ConfigError
from zoo.kinds.compiled import SLOW_PASSES, Calls, suits_xla
from zoo.kinds.fitting import Fitting
from zoo.kinds.signatures import signatures
from zoo.kinds.summary import described, shown_shapes
from zoo.layers.norms import RunningMoments
from zoo.networks.batch_norm import BatchNormalization

if TYPE_CHECKING:
    from zoo.core.signature import Signature
    from zoo.layers.norms import Fit

__all__ = ["ZooModel"]


class ZooModel(Fitting):
    """A Keras model of a config. Subclasses create every layer in `_create_networks`.

    data, context, latent: the spaces of its rows, which checks, signatures and files read.
    column_names: of a row's numbers, where they have some: those of a table's columns, of the
        dataset that loaded weights were trained on, of the first data frame that `fit` was given.
        A frame's columns are taken by these names.
    slow_direction: the one that takes up to D network passes, in place of one.
    not_served, served_first, portable, words: of `serving_signatures`, by name: those left out and
    why; the server's default; those that LiteRT and ONNX have; other descriptions.
    by_xla: whether calls may be compiled: they draw no random numbers of TensorFlow's, which XLA
    draws otherwise, and no integer hangs on the last digit.

    All randomness comes from seeds: `log_prob` without a seed uses a fixed one, and the noise of a
    row depends on the row and the seed alone, so that scores are reproducible and independent of
    the batch.
    """

    config_class: ClassVar[type[ModelConfig]] = ModelConfig
    family: ClassVar[str] = ""
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "none"
    not_served: ClassVar[Mapping[str, str]] = {}
    served_first: ClassVar[str] = "log_prob"
    portable: ClassVar[frozenset[str]] = frozenset()
    words: ClassVar[Mapping[str, str]] = {}
    by_xla: ClassVar[bool] = False

    def __init__(
        self, config: ModelConfig | Mapping[str, Any], *, conditioner_dtype: str = "", **kwargs: Any
    ) -> None:
        """config: the system's dataclass, or its plain values.

        conditioner_dtype: dtype policy of the conditioner networks, such as "mixed_bfloat16"; empty
            for the model's own. Densities and log-dets keep the model's dtype.
        """
        forks.claim()
        super().__init__(**kwargs)
        if self.compute_dtype != self.variable_dtype:
            raise ConfigError(
                f"A density is computed in one dtype; got the policy {self.dtype_policy.name}, by "
                "dtype or keras.config.set_dtype_policy. For its networks alone give "
                f"conditioner_dtype={self.dtype_policy.name!r}."
            )
        if isinstance(config, Mapping):
            config = self.config_class.from_dict(config)
        if not isinstance(config, self.config_class):
            raise ConfigError(
                f"{type(self).__name__} needs a {self.config_class.__name__}; "
                f"got {type(config).__name__}."
            )
        self.config = config
        self.release: Release | None = None
        self.column_names = tuple(column.name for column in self.data.columns)
        self.conditioner_dtype = conditioner_dtype
        self._compiled_functions: dict[str, Any] = {}
        self._create_preprocessing()
        self._create_networks()
        self._create_training_state()
        self.built = True

    def _create_preprocessing(self) -> None:
        """Creates the layers before the networks; none here."""

    def _create_networks(self) -> None:
        raise NotImplementedError

    # Spaces.

    @property
    def data(self) -> Space:
        """A row of data as the dataset stores it."""
        return self.config.data_space(str(self.compute_dtype))

    @property
    def context(self) -> Space | None:
        """The condition of a row; None for an unconditional model."""
        return self.config.context_space(str(self.compute_dtype))

    @property
    def latent(self) -> Space | None:
        """The latents of a row; None for a model without."""
        return None

    def _latent_space(self, size: int) -> Space:
        meaning = "latent; distributed as the base where the data are the model's"
        return Space(shape=(size,), dtype=str(self.compute_dtype), meaning=meaning)

    def checked_data(self, x: Any) -> Any:
        """x as a tensor of `data`. Raises InvalidInputError for other rows."""
        if not self.data.columns:  # by which frames are encoded
            x = in_order(x, self.column_names, "x")
        return checks.checked_data(x, self.data, continuous=isinstance(self, Bijective))

    def checked_context(self, context: Any, rows: int | None) -> Any:
        """The context as a tensor of `context`, or None. Raises InvalidInputError for others."""
        return checked_condition(context, self.context, rows)

    # Weights and configs.

    @property
    def network_dtype(self) -> Any:
        """The dtype policy that conditioner networks are created with."""
        return self.conditioner_dtype or self.dtype_policy

    @property
    def regularized_weights(self) -> list[Any]:
        """The weights whose squares a recipe's `l2` adds up: all trainable ones by default."""
        return list(self.trainable_weights)

    def get_config(self) -> dict[str, Any]:
        """Keras' own fields and the config's plain values."""
        return {
            **super().get_config(),
            "config": self.config.to_dict(),
            "conditioner_dtype": self.conditioner_dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The model of `get_config`'s output."""
        del custom_objects
        return cls(**config)

    def build(self, input_shape: Any = None) -> None:
        """Nothing to do: every weight exists after construction."""
        del input_shape
        self.built = True

    def adapt(self, x: Any, context: Any = None) -> None:
        """Fits what is set from data, not trained, to the rows x.

        Whitening, and the data-dependent start of normalising layers. For fresh models, before
        training; a few hundred rows do for initialisation, whitening wants the whole training set
        (`adapt_whitening`).   x: [batch, *event_shape] as for `log_prob`.
        """
        self.adapt_whitening(x)
        self.adapt_context(context)
        self.initialize(x, context, "all")

    def adapt_context(self, context: Any) -> None:
        """Fits the standardisation of the contexts [batch, ...], where there is one; none here."""

    def adapt_whitening(self, x: Any) -> None:
        """Fits the whitening alone to the rows x [batch, *event_shape], typically all of them."""

    def adapt_batch_norm(self, x: Any, context: Any = None) -> None:
        """Sets the running moments of every batch norm layer to those of the rows x.

        This goes layer by layer. The MAF paper evaluates with the moments of the whole training set
        (Sec. 4.1); without batch norm this does nothing.   x: [batch, *event_shape].
        """
        if self.has_batch_norm:
            self.initialize(x, context, "moments")

    @property
    def has_batch_norm(self) -> bool:
        """Whether a bijector of the flow, or a network of it, normalises by batch moments."""
        layers = (RunningMoments, BatchNormalization)
        return any(isinstance(layer, layers) for layer in self._flatten_layers())

    @property
    def rows_to_start(self) -> int:
        """How many rows do for `adapt` and `adapt_batch_norm`: fewer of larger events."""
        return int(np.clip(2**20 // self.config.event_size, 64, 2**14))

    def initialize(self, x: Any, context: Any, fit: Fit) -> None:
        """Sets the weights that are measured on the rows x, by default none."""

    def __repr__(self) -> str:
        """The class, the weights, a row, the number of parameters, and the figure of the card."""
        return described(self) if self.built else super().__repr__()

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Keras' summary, with the shape of each layer's output, or of the parameters it holds."""
        with shown_shapes(self):
            super().summary(*args, **kwargs)

    def load_weights(self, *args: Any, **kwargs: Any) -> None:
        """Keras' load_weights; the model is no longer a published one."""
        super().load_weights(*args, **kwargs)
        self.release = None

    def serving_signatures(self) -> dict[str, Signature]:
        """What an export of the model answers, the server's default first."""
        return signatures(self)

    # Calls.

    def call(self, x: Any, context: Any = None, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras)
        """`score(x, context)`; in training with new noise at every call.

        A model that is frozen (`trainable = False`) is as in evaluation.
        """
        training = training and bool(self.trainable_variables)
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = tf.constant(checks.EVALUATION_SEED, tf.int32)
        seed = self._next_noise_seed() if training else seed
        return self.score(x, context, seed, training=training)

    def _run(self, name: str, function: Callable[..., Any], **arrays: Any) -> Any:
        """function(**arrays), when called eagerly by the program that pays (`zoo.kinds.compiled`).

        arrays: a batch each, but for `seed`, the last; None stays None.
        """
        if not tf.executing_eagerly():
            return function(**arrays)
        given = {key: value for key, value in arrays.items() if value is not None}
        if name not in self._compiled_functions:
            signature = {
                key: tf.TensorSpec([2] if key == "seed" else [None, *value.shape[1:]], value.dtype)
                for key, value in given.items()
            }
            slow = {"sampling": ("decode",), "density": ("log_prob", "encode")}
            passes = SLOW_PASSES if name in slow.get(self.slow_direction, ()) else 1
            suits = self.by_xla and suits_xla(self.weights, self.conditioner_dtype)
            self._compiled_functions[name] = Calls(
                function,
                signature,
                {key: None for key in arrays if key not in given},
                weights=passes * self.count_params() if suits else 0,
            )
        return self._compiled_functions[name](list(given.values()))
