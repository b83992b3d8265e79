"""Logistic regression on soft labels."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import optimize, sparse, special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from moderation.comments import DataError


def fit(
    classifier: LogisticRegression,
    matrix,
    labels: np.ndarray,
    weights: np.ndarray,
    spread: np.ndarray | None = None,
    shared: sparse.csr_matrix | None = None,
) -> LogisticRegression:
    """Fit scikit-learn's logistic regression to shares.

    The same as fitting each row twice, as a positive of weight ``label`` and a negative of weight ``1 - label``, by
    the same steps of the same solver, in about half the time and without a matrix of twice the rows.

    Parameters
    ----------
    classifier : LogisticRegression
        Its C, tol and max_iter are used.
    matrix : sparse or ndarray, shape (n, features)
    labels : ndarray of float in 0..1, shape (n,)
    weights : ndarray of float, shape (n,)
    spread : ndarray of float, shape (features,), optional
        How far from zero a coefficient is expected, against 1 for each where none are given: the standard deviation
        of its prior, in units of the root of C.
    shared : sparse, shape (features, directions), optional
        Directions in which many coefficients move together: each is its own part plus, over the directions, the entry
        here times a number that all features share and whose prior is that of a coefficient. The same as features
        that are ``matrix @ shared``, whose coefficients are then handed out to the n-grams.

    Returns
    -------
    LogisticRegression
        The one given, fitted.

    Raises
    ------
    DataError
        When only one class is there.
    """
    labels = np.asarray(labels, dtype=float)
    if not (labels > 0).any() or not (labels < 1).any():
        raise DataError("needs rows with and rows without the label", mend="Add labelled comments of the other kind")
    total = float(weights.sum())
    shares = weights / total
    penalty = 1.0 / (classifier.C * total)
    transposed = matrix.T
    width = matrix.shape[1]
    spread = np.ones(width) if spread is None else spread
    shared = sparse.csr_matrix((width, 0)) if shared is None else shared
    shared_transposed = shared.T.tocsr()

    def whole(coefficients):
        return spread * coefficients[:width] + shared @ coefficients[width:]

    def objective(parameters):
        coefficients = parameters[:-1]  # in units of their spread
        logits = matrix @ whole(coefficients) + parameters[-1]
        loss = shares @ (np.logaddexp(0, logits) - labels * logits) + 0.5 * penalty * (coefficients @ coefficients)
        error = shares * (special.expit(logits) - labels)
        gradient = np.empty_like(parameters)
        of_features = transposed @ error
        gradient[:width] = spread * of_features
        gradient[width:-1] = shared_transposed @ of_features
        gradient[:-1] += penalty * coefficients
        gradient[-1] = error.sum()
        return loss, gradient

    found = optimize.minimize(
        objective,
        np.zeros(width + shared.shape[1] + 1),
        method="L-BFGS-B",
        jac=True,
        # As scikit-learn has them.
        options={
            "maxiter": classifier.max_iter,
            "maxls": 50,
            "gtol": classifier.tol,
            "ftol": 64 * np.finfo(float).eps,
        },
    )
    if found.status == 1:
        warnings.warn("logistic regression stopped before it converged", ConvergenceWarning, stacklevel=2)
    classifier.n_features_in_ = width
    classifier.classes_ = np.array([0, 1])
    classifier.n_iter_ = np.array([min(found.nit, classifier.max_iter)], dtype=np.int32)
    classifier.coef_, classifier.intercept_ = whole(found.x[:-1])[None], found.x[-1:].copy()
    return classifier
