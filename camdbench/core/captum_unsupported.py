"""Names of `captum.attr` 0.9 that are no explainers here, with the reason."""

from __future__ import annotations

_STATISTICS = ("Summarizer", "CommonStats", "ClassSummarizer", "Mean", "StdDev", "MSE", "Var", "Min", "Max", "Sum", "Count", "StatValue")
_NEURONS = ("Conductance", "FeatureAblation", "Gradient", "IntegratedGradients", "DeepLift", "DeepLiftShap", "GradientShap")
_TEXT = ("LLMAttribution", "LLMAttributionResult", "LLMGradientAttribution", "RemoteLLMAttribution", "RemoteLLMProvider", "VLLMProvider")
_TEXT_INPUTS = ("TextTemplateInput", "TextTokenInput", "TokenReferenceBase", "InterpretableEmbeddingBase")
_EMBEDDINGS = ("configure_interpretable_embedding_layer", "remove_interpretable_embedding_layer")
_BASES = ("Attribution", "GradientAttribution", "PerturbationAttribution", "NeuronAttribution", "LayerAttribution", "InterpretableInput")

UNSUPPORTED = {
    "captum:FeaturePermutation": "permutes pixels among the images of a batch, so a map depends on batch mates; use captum:FeatureAblation",
    "captum:LayerFeaturePermutation": "permutes activations among the images of a batch, so a map depends on batch mates; "
    "use captum:LayerFeatureAblation",
    "captum:ShapleyValues": "makes n! permutations of n features; use captum:ShapleyValueSampling",
    "captum:LimeBase": "needs functions for samples and distances; use captum:Lime",
    "captum:DataLoaderAttribution": "gives one attribution for a whole data set, not a map of an image",
    "captum:ImageMaskInput": "is an input of language models; use captum:FeatureAblation for segments of an image",
    "captum:ProductBaselines": "draws baselines of tabular data; use captum:GradientShap for random baselines",
    "captum:visualization": "draws figures; use camdbench explain",
    "captum:NeuronDeconvolution": "explains a neuron, not a class; use captum:Deconvolution",
    "captum:NeuronGuidedBackprop": "explains a neuron, not a class; use captum:GuidedBackprop",
    "captum:SummarizerSingleTensor": "is a statistic of attributions, not a method",
    **{f"captum:{name}": "is a statistic of attributions, not a method" for name in _STATISTICS},
    **{f"captum:Neuron{name}": "explains a neuron, not a class; see camdbench list explainers" for name in _NEURONS},
    **{f"captum:{name}": "explains language models, not images" for name in (*_TEXT, *_TEXT_INPUTS, *_EMBEDDINGS)},
    **{f"captum:{name}": "is a base class, not a method; see camdbench list explainers" for name in _BASES},
}
