"""What a logistic regression comes to once it is fitted: coefficients and an intercept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


class Linear(NamedTuple):
    """A fitted logistic regression.

    Attributes
    ----------
    coefficients : ndarray, shape (features,)
    intercept : float
    """

    coefficients: np.ndarray
    intercept: float

    @classmethod
    def of(cls, classifier: LogisticRegression) -> Linear:
        """The same in numbers alone."""
        return cls(classifier.coef_[0], float(classifier.intercept_[0]))

    def classifier(self) -> LogisticRegression:
        """The same as scikit-learn's, for which what only training asks for is left at its default."""
        from sklearn.linear_model import LogisticRegression

        made = LogisticRegression()
        made.classes_, made.n_features_in_ = np.array([0, 1]), len(self.coefficients)
        made.coef_, made.intercept_ = self.coefficients[None], np.array([self.intercept])
        return made

    def logits(self, matrix) -> np.ndarray:
        """``matrix @ coefficients + intercept``; float64, shape (n,), of a matrix or sparse matrix of n rows."""
        return (matrix @ self.coefficients[:, None])[:, 0] + self.intercept
