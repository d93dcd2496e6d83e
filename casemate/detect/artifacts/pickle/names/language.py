"""Language models: settings, outputs and states that training scripts of transformers, accelerate and spaCy save."""

from __future__ import annotations

_SPOKEN = (
    "af am ar az bg bn bo ca cs da de dsb el en es et eu fa fi fo fr ga gd grc gu he hi hr hsb ht hu hy id is "
    "it ja kmr kn ko ky la lb lg lij lt lv mk ml mr ms nb ne nl nn pl pt ro ru sa si sk sl sq sr sv ta te th "
    "ti tl tn tr tt uk ur vi xx yo zh"
)
"""spaCy 3.8: whose modules hold the functions that a vocabulary refers to."""

NAMES: dict[str, str] = {
    "accelerate.state": "AcceleratorState GradientState PartialState ThreadLocalSharedDict",
    "accelerate.utils.dataclasses": (
        "AORecipeKwargs AutocastKwargs BaseEnum BnbQuantizationConfig ComputeEnvironment CustomDtype "
        "DDPCommunicationHookType DataLoaderConfiguration DeepSpeedPlugin DeepSpeedSequenceParallelConfig "
        "DistributedDataParallelKwargs DistributedType DynamoBackend EnumWithContains FP8BackendType "
        "FP8RecipeKwargs FullyShardedDataParallelPlugin GradScalerKwargs GradientAccumulationPlugin "
        "InitProcessGroupKwargs KwargsHandler LoggerType MSAMPRecipeKwargs MegatronLMPlugin PrecisionType "
        "ProfileKwargs ProjectConfiguration RNGType SageMakerDistributedType TERecipeKwargs TensorInformation "
        "TorchContextParallelConfig TorchDynamoPlugin TorchTensorParallelConfig TorchTensorParallelPlugin"
    ),
    "gensim.corpora.dictionary": "Dictionary",
    "gensim.models.doc2vec": "Doc2Vec",
    "gensim.models.fasttext": "FastText FastTextKeyedVectors",
    "gensim.models.keyedvectors": "CompatVocab EuclideanKeyedVectors KeyedVectors Vocab Word2VecKeyedVectors",
    "gensim.models.word2vec": "Word2Vec Word2VecTrainables Word2VecVocab",
    "lightning.fabric.utilities.data": "AttributeDict",
    "lightning_fabric.utilities.data": "AttributeDict",
    "lightning_fabric.utilities.types": "_PATH",
    "omegaconf.base": "ContainerMetadata Metadata SCMode",
    "omegaconf.dictconfig": "DictConfig",
    "omegaconf.listconfig": "ListConfig",
    "omegaconf.nodes": "AnyNode BooleanNode BytesNode EnumNode FloatNode IntegerNode PathNode StringNode",
    "pytorch_lightning.callbacks.model_checkpoint": "ModelCheckpoint",
    "pytorch_lightning.utilities.parsing": "AttributeDict",
    "tokenizers": "AddedToken Tokenizer",
    "tokenizers.models": "BPE Model Unigram WordLevel WordPiece",
    "spacy.attrs": "ORTH",
    "spacy.lang.lex_attrs": (
        "get_lang is_alpha is_ascii is_bracket is_currency is_digit is_left_punct is_lower is_punct is_quote "
        "is_right_punct is_space is_stop is_title is_upper like_email like_num like_url lower prefix suffix "
        "word_shape"
    ),
    "spacy.util": "_get_attr_unless_lookup",
    "spacy.morphology": "Morphology unpickle_morphology",
    "spacy.strings": "StringStore",
    "spacy.tokens.doc": "Doc ",
    "spacy.tokens.span": "Span",
    "spacy.vectors": "unpickle_vectors Vectors",
    "spacy.lookups": "Lookups Table",
    "spacy.vocab": "Vocab ",
    "transformers.configuration_utils": "PreTrainedConfig PretrainedConfig",
    "transformers.debug_utils": "DebugOption DebugUnderflowOverflow",
    "transformers.feature_extraction_utils": "BatchFeature FeatureExtractionMixin",
    "transformers.generation.configuration_utils": (
        "BaseWatermarkingConfig CompileConfig ContinuousBatchingConfig GenerationConfig GenerationMode "
        "SynthIDTextWatermarkingConfig WatermarkingConfig"
    ),
    "transformers.modeling_outputs": (
        "BackboneOutput BaseModelOutput BaseModelOutputWithCrossAttentions BaseModelOutputWithNoAttention "
        "BaseModelOutputWithPast BaseModelOutputWithPastAndCrossAttentions BaseModelOutputWithPooling "
        "BaseModelOutputWithPoolingAndCrossAttentions BaseModelOutputWithPoolingAndNoAttention "
        "BaseModelOutputWithPoolingAndProjection CausalLMOutput CausalLMOutputWithCrossAttentions "
        "CausalLMOutputWithPast DepthEstimatorOutput ImageClassifierOutput ImageClassifierOutputWithNoAttention "
        "ImageSuperResolutionOutput MaskedImageModelingOutput MaskedLMOutput MoECausalLMOutputWithPast "
        "MoEModelOutput MoEModelOutputWithPastAndCrossAttentions MoeCausalLMOutputWithPast MoeModelOutputWithPast "
        "MultipleChoiceModelOutput NextSentencePredictorOutput QuestionAnsweringModelOutput "
        "SampleTSPredictionOutput SemanticSegmenterOutput Seq2SeqLMOutput Seq2SeqMoEModelOutput Seq2SeqMoEOutput "
        "Seq2SeqModelOutput Seq2SeqQuestionAnsweringModelOutput Seq2SeqSequenceClassifierOutput "
        "Seq2SeqSpectrogramOutput Seq2SeqTSModelOutput Seq2SeqTSPredictionOutput SequenceClassifierOutput "
        "SequenceClassifierOutputWithPast TokenClassifierOutput Wav2Vec2BaseModelOutput XVectorOutput"
    ),
    "transformers.models.albert.configuration_albert": "AlbertConfig",
    "transformers.models.bart.configuration_bart": "BartConfig",
    "transformers.models.bert.configuration_bert": "BertConfig",
    "transformers.models.bloom.configuration_bloom": "BloomConfig",
    "transformers.models.clip.configuration_clip": "CLIPConfig CLIPTextConfig CLIPVisionConfig",
    "transformers.models.deberta_v2.configuration_deberta_v2": "DebertaV2Config",
    "transformers.models.distilbert.configuration_distilbert": "DistilBertConfig",
    "transformers.models.electra.configuration_electra": "ElectraConfig",
    "transformers.models.falcon.configuration_falcon": "FalconConfig",
    "transformers.models.gemma.configuration_gemma": "GemmaConfig",
    "transformers.models.gpt2.configuration_gpt2": "GPT2Config",
    "transformers.models.gpt_neo.configuration_gpt_neo": "GPTNeoConfig",
    "transformers.models.gpt_neox.configuration_gpt_neox": "GPTNeoXConfig",
    "transformers.models.gptj.configuration_gptj": "GPTJConfig",
    "transformers.models.llama.configuration_llama": "LlamaConfig",
    "transformers.models.mistral.configuration_mistral": "MistralConfig",
    "transformers.models.mixtral.configuration_mixtral": "MixtralConfig",
    "transformers.models.mpt.configuration_mpt": "MptAttentionConfig MptConfig",
    "transformers.models.opt.configuration_opt": "OPTConfig",
    "transformers.models.phi.configuration_phi": "PhiConfig",
    "transformers.models.qwen2.configuration_qwen2": "Qwen2Config",
    "transformers.models.roberta.configuration_roberta": "RobertaConfig",
    "transformers.models.t5.configuration_t5": "T5Config",
    "transformers.models.vit.configuration_vit": "ViTConfig",
    "transformers.models.wav2vec2.configuration_wav2vec2": "Wav2Vec2Config",
    "transformers.models.whisper.configuration_whisper": "WhisperConfig",
    "transformers.models.xlm_roberta.configuration_xlm_roberta": "XLMRobertaConfig",
    "transformers.tokenization_utils_base": (
        "BatchEncoding CharSpan PreTrainedTokenizerBase TokenSpan TruncationStrategy"
    ),
    "transformers.trainer_pt_utils": (
        "AcceleratorConfig BatchRebalanceSampler DistributedLengthGroupedSampler DistributedSamplerWithLoop "
        "EvalLoopContainer IterableDatasetShard LabelSmoother LayerWiseDummyOptimizer LayerWiseDummyScheduler "
        "LengthGroupedSampler ShardSampler"
    ),
    "transformers.trainer_utils": (
        "BestRun EvalLoopOutput EvalPrediction FSDPOption HPSearchBackend HubStrategy IntervalStrategy "
        "PredictionOutput RemoveColumnsCollator SaveStrategy SchedulerType TrainOutput TrainerMemoryTracker"
    ),
    "transformers.training_args": "OptimizerNames ParallelMode TrainingArguments",
    "transformers.training_args_seq2seq": "Seq2SeqTrainingArguments",
    **{f"spacy.lang.{code}.syntax_iterators": "noun_chunks" for code in _SPOKEN.split()},
    **{f"spacy.lang.{code}.lex_attrs": "like_num" for code in _SPOKEN.split()},
}
