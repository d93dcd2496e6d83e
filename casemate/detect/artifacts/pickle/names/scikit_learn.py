"""Classes of scikit-learn 1.9 that fitted objects consist of, and the modules they had before 0.24.

Taken from the library itself: estimators, losses, kernels, splitters, scorers, trees.  Nothing of ``datasets``,
``utils.parallel``, ``externals`` or the tests.
"""

from __future__ import annotations

NAMES: dict[str, str] = {
    "imblearn.over_sampling._smote.base": "SMOTE SMOTEN SMOTENC",
    "imblearn.pipeline": "Pipeline",
    "imblearn.under_sampling._prototype_selection._random_under_sampler": "RandomUnderSampler",
    "sklearn._loss._loss": (
        "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss "
        "CyHalfPoissonLoss CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss "
        "CyLossFunction CyPinballLoss"
    ),
    "sklearn._loss.link": "BaseLink HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit",
    "sklearn._loss.loss": (
        "AbsoluteError ArrayAPILossMixin BaseLoss ExponentialLoss HalfBinomialLoss HalfBinomialLossArrayAPI "
        "HalfGammaLoss HalfMultinomialLoss HalfMultinomialLossArrayAPI HalfPoissonLoss HalfPoissonLossArrayAPI "
        "HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss PinballLoss"
    ),
    "sklearn.base": "BaseEstimator",
    "sklearn.calibration": (
        "CalibratedClassifierCV CalibrationDisplay _CalibratedClassifier _SigmoidCalibration _TemperatureScaling"
    ),
    "sklearn.cluster._affinity_propagation": "AffinityPropagation",
    "sklearn.cluster._agglomerative": "AgglomerativeClustering FeatureAgglomeration",
    "sklearn.cluster._bicluster": "BaseSpectral SpectralBiclustering SpectralCoclustering",
    "sklearn.cluster._birch": "Birch _CFNode _CFSubcluster",
    "sklearn.cluster._bisect_k_means": "BisectingKMeans _BisectingTree",
    "sklearn.cluster._dbscan": "DBSCAN",
    "sklearn.cluster._feature_agglomeration": "AgglomerationTransform",
    "sklearn.cluster._hdbscan._tree": "TreeUnionFind",
    "sklearn.cluster._hdbscan.hdbscan": "HDBSCAN",
    "sklearn.cluster._hierarchical_fast": "UnionFind WeightedEdge",
    "sklearn.cluster._kmeans": "KMeans MiniBatchKMeans _BaseKMeans _kmeans_single_elkan _kmeans_single_lloyd",
    "sklearn.cluster._mean_shift": "MeanShift",
    "sklearn.cluster._optics": "OPTICS",
    "sklearn.cluster._spectral": "SpectralClustering",
    "sklearn.compose._column_transformer": "ColumnTransformer make_column_selector",
    "sklearn.compose._target": "TransformedTargetRegressor",
    "sklearn.covariance._elliptic_envelope": "EllipticEnvelope",
    "sklearn.covariance._empirical_covariance": "EmpiricalCovariance",
    "sklearn.covariance._graph_lasso": "BaseGraphicalLasso GraphicalLasso GraphicalLassoCV",
    "sklearn.covariance._robust_covariance": "MinCovDet",
    "sklearn.covariance._shrunk_covariance": "LedoitWolf OAS ShrunkCovariance",
    "sklearn.cross_decomposition._pls": "CCA PLSCanonical PLSRegression PLSSVD _PLS",
    "sklearn.datasets.base": "Bunch",
    "sklearn.decomposition._base": "_BasePCA",
    "sklearn.decomposition._dict_learning": (
        "DictionaryLearning MiniBatchDictionaryLearning SparseCoder _BaseSparseCoding"
    ),
    "sklearn.decomposition._factor_analysis": "FactorAnalysis",
    "sklearn.decomposition._fastica": "FastICA",
    "sklearn.decomposition._incremental_pca": "IncrementalPCA",
    "sklearn.decomposition._kernel_pca": "KernelPCA",
    "sklearn.decomposition._lda": "LatentDirichletAllocation",
    "sklearn.decomposition._nmf": "MiniBatchNMF NMF _BaseNMF",
    "sklearn.decomposition._pca": "PCA",
    "sklearn.decomposition._sparse_pca": "MiniBatchSparsePCA SparsePCA _BaseSparsePCA",
    "sklearn.decomposition._truncated_svd": "TruncatedSVD",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "sklearn.dummy": "DummyClassifier DummyRegressor",
    "sklearn.ensemble._bagging": "BaggingClassifier BaggingRegressor BaseBagging",
    "sklearn.ensemble._base": "BaseEnsemble _BaseHeterogeneousEnsemble",
    "sklearn.ensemble._forest": (
        "BaseForest ExtraTreesClassifier ExtraTreesRegressor ForestClassifier ForestRegressor "
        "RandomForestClassifier RandomForestRegressor RandomTreesEmbedding"
    ),
    "sklearn.ensemble._gb": (
        "BaseGradientBoosting GradientBoostingClassifier GradientBoostingRegressor VerboseReporter"
    ),
    "sklearn.ensemble._gb_losses": (
        "BinomialDeviance ExponentialLoss HuberLossFunction LeastAbsoluteError LeastSquaresError "
        "MultinomialDeviance QuantileLossFunction"
    ),
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.common": "MonotonicConstraint",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": (
        "BaseHistGradientBoosting HistGradientBoostingClassifier HistGradientBoostingRegressor"
    ),
    "sklearn.ensemble._hist_gradient_boosting.grower": "TreeGrower TreeNode",
    "sklearn.ensemble._hist_gradient_boosting.histogram": "HistogramBuilder",
    "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
    "sklearn.ensemble._hist_gradient_boosting.splitting": "SplitInfo Splitter",
    "sklearn.ensemble._iforest": "IsolationForest",
    "sklearn.ensemble._stacking": "StackingClassifier StackingRegressor _BaseStacking",
    "sklearn.ensemble._voting": "VotingClassifier VotingRegressor _BaseVoting",
    "sklearn.ensemble._weight_boosting": "AdaBoostClassifier AdaBoostRegressor BaseWeightBoosting",
    "sklearn.feature_extraction._dict_vectorizer": "DictVectorizer",
    "sklearn.feature_extraction._hash": "FeatureHasher",
    "sklearn.feature_extraction.image": "PatchExtractor",
    "sklearn.feature_extraction.text": (
        "CountVectorizer HashingVectorizer TfidfTransformer TfidfVectorizer _VectorizerMixin strip_accents_ascii "
        "strip_accents_unicode"
    ),
    "sklearn.feature_selection._from_model": "SelectFromModel",
    "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
    "sklearn.feature_selection._rfe": "RFE RFECV",
    "sklearn.feature_selection._sequential": "SequentialFeatureSelector",
    "sklearn.feature_selection._univariate_selection": (
        "GenericUnivariateSelect SelectFdr SelectFpr SelectFwe SelectKBest SelectPercentile _BaseFilter chi2 "
        "f_classif f_regression"
    ),
    "sklearn.feature_selection._variance_threshold": "VarianceThreshold",
    "sklearn.frozen._frozen": "FrozenEstimator",
    "sklearn.gaussian_process._gpc": "GaussianProcessClassifier _BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process._gpr": "GaussianProcessRegressor",
    "sklearn.gaussian_process.kernels": (
        "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation GenericKernelMixin Hyperparameter "
        "Kernel KernelOperator Matern NormalizedKernelMixin PairwiseKernel Product RBF RationalQuadratic "
        "StationaryKernelMixin Sum WhiteKernel"
    ),
    "sklearn.impute._base": "MissingIndicator SimpleImputer _BaseImputer",
    "sklearn.impute._iterative": "IterativeImputer _ImputerTriplet",
    "sklearn.impute._knn": "KNNImputer",
    "sklearn.isotonic": "IsotonicRegression",
    "sklearn.kernel_approximation": ("AdditiveChi2Sampler Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler"),
    "sklearn.kernel_ridge": "KernelRidge",
    "sklearn.linear_model._base": (
        "LinearClassifierMixin LinearModel LinearRegression MultiOutputLinearModel SparseCoefMixin"
    ),
    "sklearn.linear_model._bayes": "ARDRegression BayesianRidge",
    "sklearn.linear_model._coordinate_descent": (
        "ElasticNet ElasticNetCV Lasso LassoCV LinearModelCV MultiTaskElasticNet MultiTaskElasticNetCV "
        "MultiTaskLasso MultiTaskLassoCV"
    ),
    "sklearn.linear_model._glm._newton_solver": "NewtonCholeskySolver NewtonSolver",
    "sklearn.linear_model._glm.glm": "GammaRegressor PoissonRegressor TweedieRegressor _GeneralizedLinearRegressor",
    "sklearn.linear_model._huber": "HuberRegressor",
    "sklearn.linear_model._least_angle": "Lars LarsCV LassoLars LassoLarsCV LassoLarsIC",
    "sklearn.linear_model._linear_loss": "LinearModelLoss",
    "sklearn.linear_model._logistic": "LogisticRegression LogisticRegressionCV _LbfgsCallbackBridge",
    "sklearn.linear_model._omp": "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV",
    "sklearn.linear_model._passive_aggressive": "PassiveAggressiveClassifier PassiveAggressiveRegressor",
    "sklearn.linear_model._perceptron": "Perceptron",
    "sklearn.linear_model._quantile": "QuantileRegressor",
    "sklearn.linear_model._ransac": "RANSACRegressor",
    "sklearn.linear_model._ridge": (
        "Ridge RidgeCV RidgeClassifier RidgeClassifierCV _BaseRidge _BaseRidgeCV _IdentityClassifier "
        "_IdentityRegressor _RidgeClassifierMixin _RidgeGCV _XT_CenterStackOp _X_CenterStackOp"
    ),
    "sklearn.linear_model._sgd_fast": (
        "Classification EpsilonInsensitive Hinge ModifiedHuber Regression SquaredEpsilonInsensitive SquaredHinge"
    ),
    "sklearn.linear_model._stochastic_gradient": (
        "BaseSGD BaseSGDClassifier BaseSGDRegressor SGDClassifier SGDOneClassSVM SGDRegressor _ValidationScoreCallback"
    ),
    "sklearn.linear_model._theil_sen": "TheilSenRegressor",
    "sklearn.manifold._classical_mds": "ClassicalMDS",
    "sklearn.manifold._isomap": "Isomap",
    "sklearn.manifold._locally_linear": "LocallyLinearEmbedding",
    "sklearn.manifold._mds": "MDS",
    "sklearn.manifold._spectral_embedding": "SpectralEmbedding",
    "sklearn.manifold._t_sne": "TSNE",
    "sklearn.metrics._classification": (
        "accuracy_score balanced_accuracy_score f1_score fbeta_score log_loss matthews_corrcoef precision_score "
        "recall_score"
    ),
    "sklearn.metrics._dist_metrics": (
        "BrayCurtisDistance BrayCurtisDistance32 BrayCurtisDistance64 CanberraDistance CanberraDistance32 "
        "CanberraDistance64 ChebyshevDistance ChebyshevDistance32 ChebyshevDistance64 DiceDistance32 "
        "DiceDistance64 DistanceMetric DistanceMetric32 DistanceMetric64 EuclideanDistance EuclideanDistance32 "
        "EuclideanDistance64 HammingDistance HammingDistance32 HammingDistance64 HaversineDistance "
        "HaversineDistance32 HaversineDistance64 JaccardDistance JaccardDistance32 JaccardDistance64 "
        "KulsinskiDistance32 KulsinskiDistance64 MahalanobisDistance MahalanobisDistance32 MahalanobisDistance64 "
        "ManhattanDistance ManhattanDistance32 ManhattanDistance64 MatchingDistance32 MatchingDistance64 "
        "MinkowskiDistance MinkowskiDistance32 MinkowskiDistance64 PyFuncDistance PyFuncDistance32 "
        "PyFuncDistance64 RogersTanimotoDistance32 RogersTanimotoDistance64 RussellRaoDistance32 "
        "RussellRaoDistance64 SEuclideanDistance SEuclideanDistance32 SEuclideanDistance64 "
        "SokalMichenerDistance32 SokalMichenerDistance64 SokalSneathDistance32 SokalSneathDistance64 newObj"
    ),
    "sklearn.metrics._ranking": "average_precision_score roc_auc_score",
    "sklearn.metrics._regression": "mean_absolute_error mean_squared_error r2_score root_mean_squared_error",
    "sklearn.metrics._scorer": (
        "_BaseScorer _CurveScorer _MultimetricScorer _PassthroughScorer _PredictScorer _ProbaScorer _Scorer "
        "_ThresholdScorer _passthrough_scorer"
    ),
    "sklearn.metrics.pairwise": (
        "additive_chi2_kernel chi2_kernel cosine_distances cosine_similarity euclidean_distances "
        "haversine_distances laplacian_kernel linear_kernel manhattan_distances polynomial_kernel rbf_kernel "
        "sigmoid_kernel"
    ),
    "sklearn.mixture._base": "BaseMixture",
    "sklearn.mixture._bayesian_mixture": "BayesianGaussianMixture",
    "sklearn.mixture._gaussian_mixture": "GaussianMixture",
    "sklearn.model_selection._classification_threshold": (
        "BaseThresholdClassifier FixedThresholdClassifier TunedThresholdClassifierCV"
    ),
    "sklearn.model_selection._search": "BaseSearchCV GridSearchCV RandomizedSearchCV",
    "sklearn.model_selection._search_successive_halving": (
        "BaseSuccessiveHalving HalvingGridSearchCV HalvingRandomSearchCV"
    ),
    "sklearn.model_selection._split": (
        "BaseCrossValidator BaseShuffleSplit GroupKFold GroupShuffleSplit GroupsConsumerMixin KFold "
        "LeaveOneGroupOut LeaveOneOut LeavePGroupsOut LeavePOut PredefinedSplit RepeatedKFold "
        "RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit "
        "TimeSeriesSplit _BaseKFold _CVIterableWrapper _RepeatedSplits _UnsupportedGroupCVMixin"
    ),
    "sklearn.multiclass": "OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier _ConstantPredictor",
    "sklearn.multioutput": (
        "ClassifierChain MultiOutputClassifier MultiOutputRegressor RegressorChain _BaseChain _MultiOutputEstimator"
    ),
    "sklearn.naive_bayes": "BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB _BaseDiscreteNB _BaseNB",
    "sklearn.neighbors._ball_tree": (
        "BallTree BallTree32 BallTree64 BinaryTree32 BinaryTree64 NeighborsHeap32 NeighborsHeap64 NodeHeap newObj"
    ),
    "sklearn.neighbors._base": "KNeighborsMixin NeighborsBase RadiusNeighborsMixin",
    "sklearn.neighbors._classification": "KNeighborsClassifier RadiusNeighborsClassifier",
    "sklearn.neighbors._graph": "KNeighborsTransformer RadiusNeighborsTransformer",
    "sklearn.neighbors._kd_tree": (
        "BinaryTree32 BinaryTree64 KDTree KDTree32 KDTree64 NeighborsHeap32 NeighborsHeap64 NodeHeap newObj"
    ),
    "sklearn.neighbors._kde": "KernelDensity",
    "sklearn.neighbors._lof": "LocalOutlierFactor",
    "sklearn.neighbors._nca": "NeighborhoodComponentsAnalysis",
    "sklearn.neighbors._nearest_centroid": "NearestCentroid",
    "sklearn.neighbors._quad_tree": "_QuadTree",
    "sklearn.neighbors._regression": "KNeighborsRegressor RadiusNeighborsRegressor",
    "sklearn.neighbors._unsupervised": "NearestNeighbors",
    "sklearn.neural_network._base": "identity logistic relu tanh",
    "sklearn.neural_network._multilayer_perceptron": "BaseMultilayerPerceptron MLPClassifier MLPRegressor",
    "sklearn.neural_network._rbm": "BernoulliRBM",
    "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer BaseOptimizer SGDOptimizer",
    "sklearn.pipeline": "FeatureUnion Pipeline",
    "sklearn.preprocessing._data": (
        "Binarizer KernelCenterer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer QuantileTransformer "
        "RobustScaler StandardScaler"
    ),
    "sklearn.preprocessing._discretization": "KBinsDiscretizer",
    "sklearn.preprocessing._encoders": "OneHotEncoder OrdinalEncoder _BaseEncoder",
    "sklearn.preprocessing._function_transformer": "FunctionTransformer _identity",
    "sklearn.preprocessing._label": "LabelBinarizer LabelEncoder MultiLabelBinarizer",
    "sklearn.preprocessing._polynomial": "PolynomialFeatures SplineTransformer",
    "sklearn.preprocessing._target_encoder": "TargetEncoder",
    "sklearn.random_projection": "BaseRandomProjection GaussianRandomProjection SparseRandomProjection",
    "sklearn.semi_supervised._label_propagation": "BaseLabelPropagation LabelPropagation LabelSpreading",
    "sklearn.semi_supervised._self_training": "SelfTrainingClassifier",
    "sklearn.svm._base": "BaseLibSVM BaseSVC",
    "sklearn.svm._classes": "LinearSVC LinearSVR NuSVC NuSVR OneClassSVM SVC SVR",
    "sklearn.tree._classes": (
        "BaseDecisionTree DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor"
    ),
    "sklearn.tree._criterion": "ClassificationCriterion Criterion Entropy Gini MAE MSE Poisson RegressionCriterion",
    "sklearn.tree._export": "Sentinel _BaseTreeExporter _DOTTreeExporter _MPLTreeExporter",
    "sklearn.tree._partitioner": "DensePartitioner SparsePartitioner",
    "sklearn.tree._reingold_tilford": "DrawTree Tree",
    "sklearn.tree._splitter": "BestSparseSplitter BestSplitter RandomSparseSplitter RandomSplitter Splitter",
    "sklearn.tree._tree": (
        "BestFirstTreeBuilder DepthFirstTreeBuilder Tree TreeBuilder _AlphaPruner _CCPPruneController _PathFinder"
    ),
    "sklearn.tree._utils": "PytestWeightedFenwickTree WeightedFenwickTree",
    "sklearn.utils": "Bunch",
    "sklearn.utils._bunch": "Bunch",
    "sklearn.utils._metadata_requests": (
        "MetadataRequest MetadataRouter MethodMapping MethodMetadataRequest MethodPair RequestMethod "
        "RouterMappingPair _MetadataRequester _RoutingNotSupportedMixin"
    ),
    "sklearn.utils._mocking": "CheckingClassifier NoSampleWeightWrapper _MockEstimatorOnOffPrediction",
    "sklearn.utils._tags": "ClassifierTags InputTags RegressorTags Tags TargetTags TransformerTags",
    "sklearn.utils.extmath": "softmax",
    "sklearn.utils.metaestimators": "_BaseComposition",
}

MOVED: dict[str, str] = {
    "sklearn.cluster.birch": "sklearn.cluster._birch",
    "sklearn.cluster.dbscan_": "sklearn.cluster._dbscan",
    "sklearn.cluster.hierarchical": "sklearn.cluster._agglomerative",
    "sklearn.cluster.k_means_": "sklearn.cluster._kmeans",
    "sklearn.cluster.spectral": "sklearn.cluster._spectral",
    "sklearn.compose.column_transformer": "sklearn.compose._column_transformer",
    "sklearn.covariance.elliptic_envelope": "sklearn.covariance._elliptic_envelope",
    "sklearn.decomposition.fastica_": "sklearn.decomposition._fastica",
    "sklearn.decomposition.kernel_pca": "sklearn.decomposition._kernel_pca",
    "sklearn.decomposition.nmf": "sklearn.decomposition._nmf",
    "sklearn.decomposition.online_lda": "sklearn.decomposition._lda",
    "sklearn.decomposition.pca": "sklearn.decomposition._pca",
    "sklearn.decomposition.truncated_svd": "sklearn.decomposition._truncated_svd",
    "sklearn.ensemble.bagging": "sklearn.ensemble._bagging",
    "sklearn.ensemble.forest": "sklearn.ensemble._forest",
    "sklearn.ensemble.gb_losses": "sklearn.ensemble._gb_losses",
    "sklearn.ensemble.gradient_boosting": "sklearn.ensemble._gb",
    "sklearn.ensemble.iforest": "sklearn.ensemble._iforest",
    "sklearn.ensemble.voting": "sklearn.ensemble._voting",
    "sklearn.ensemble.voting_classifier": "sklearn.ensemble._voting",
    "sklearn.ensemble.weight_boosting": "sklearn.ensemble._weight_boosting",
    "sklearn.feature_extraction.dict_vectorizer": "sklearn.feature_extraction._dict_vectorizer",
    "sklearn.feature_extraction.hashing": "sklearn.feature_extraction._hash",
    "sklearn.feature_selection.from_model": "sklearn.feature_selection._from_model",
    "sklearn.feature_selection.rfe": "sklearn.feature_selection._rfe",
    "sklearn.feature_selection.univariate_selection": "sklearn.feature_selection._univariate_selection",
    "sklearn.feature_selection.variance_threshold": "sklearn.feature_selection._variance_threshold",
    "sklearn.gaussian_process.gpc": "sklearn.gaussian_process._gpc",
    "sklearn.gaussian_process.gpr": "sklearn.gaussian_process._gpr",
    "sklearn.linear_model.base": "sklearn.linear_model._base",
    "sklearn.linear_model.bayes": "sklearn.linear_model._bayes",
    "sklearn.linear_model.coordinate_descent": "sklearn.linear_model._coordinate_descent",
    "sklearn.linear_model.huber": "sklearn.linear_model._huber",
    "sklearn.linear_model.least_angle": "sklearn.linear_model._least_angle",
    "sklearn.linear_model.logistic": "sklearn.linear_model._logistic",
    "sklearn.linear_model.perceptron": "sklearn.linear_model._perceptron",
    "sklearn.linear_model.ridge": "sklearn.linear_model._ridge",
    "sklearn.linear_model.sgd_fast": "sklearn.linear_model._sgd_fast",
    "sklearn.linear_model.stochastic_gradient": "sklearn.linear_model._stochastic_gradient",
    "sklearn.manifold.t_sne": "sklearn.manifold._t_sne",
    "sklearn.metrics.scorer": "sklearn.metrics._scorer",
    "sklearn.mixture.gaussian_mixture": "sklearn.mixture._gaussian_mixture",
    "sklearn.neighbors._dist_metrics": "sklearn.metrics._dist_metrics",
    "sklearn.neighbors.ball_tree": "sklearn.neighbors._ball_tree",
    "sklearn.neighbors.classification": "sklearn.neighbors._classification",
    "sklearn.neighbors.dist_metrics": "sklearn.metrics._dist_metrics",
    "sklearn.neighbors.kd_tree": "sklearn.neighbors._kd_tree",
    "sklearn.neighbors.lof": "sklearn.neighbors._lof",
    "sklearn.neighbors.regression": "sklearn.neighbors._regression",
    "sklearn.neighbors.unsupervised": "sklearn.neighbors._unsupervised",
    "sklearn.neural_network.multilayer_perceptron": "sklearn.neural_network._multilayer_perceptron",
    "sklearn.preprocessing.data": "sklearn.preprocessing._data",
    "sklearn.preprocessing.imputation": "sklearn.impute._base",
    "sklearn.preprocessing.label": "sklearn.preprocessing._label",
    "sklearn.svm.classes": "sklearn.svm._classes",
    "sklearn.tree.tree": "sklearn.tree._classes",
    "sklearn.utils.bunch": "sklearn.utils._bunch",
}
"""Old module: the module whose names it had."""
