"""torchvision 0.2x: whole models saved with ``torch.save(model)``, and plain images of Pillow."""

from __future__ import annotations

NAMES: dict[str, str] = {
    "PIL.Image": "Image",
    "PIL.JpegImagePlugin": "JpegImageFile",
    "PIL.PngImagePlugin": "PngImageFile",
    "torchvision.models._api": "Weights WeightsEnum",
    "torchvision.models._utils": "IntermediateLayerGetter",
    "torchvision.models.alexnet": "AlexNet AlexNet_Weights",
    "torchvision.models.convnext": (
        "CNBlock CNBlockConfig ConvNeXt ConvNeXt_Base_Weights ConvNeXt_Large_Weights ConvNeXt_Small_Weights "
        "ConvNeXt_Tiny_Weights LayerNorm2d"
    ),
    "torchvision.models.densenet": (
        "DenseNet DenseNet121_Weights DenseNet161_Weights DenseNet169_Weights DenseNet201_Weights _DenseBlock "
        "_DenseLayer _Transition"
    ),
    "torchvision.models.detection._utils": (
        "BalancedPositiveNegativeSampler BoxCoder BoxLinearCoder Matcher SSDMatcher"
    ),
    "torchvision.models.detection.anchor_utils": "AnchorGenerator DefaultBoxGenerator",
    "torchvision.models.detection.backbone_utils": "BackboneWithFPN",
    "torchvision.models.detection.faster_rcnn": (
        "FastRCNNConvFCHead FastRCNNPredictor FasterRCNN FasterRCNN_MobileNet_V3_Large_320_FPN_Weights "
        "FasterRCNN_MobileNet_V3_Large_FPN_Weights FasterRCNN_ResNet50_FPN_V2_Weights "
        "FasterRCNN_ResNet50_FPN_Weights TwoMLPHead"
    ),
    "torchvision.models.detection.fcos": (
        "FCOS FCOSClassificationHead FCOSHead FCOSRegressionHead FCOS_ResNet50_FPN_Weights"
    ),
    "torchvision.models.detection.generalized_rcnn": "GeneralizedRCNN",
    "torchvision.models.detection.image_list": "ImageList",
    "torchvision.models.detection.keypoint_rcnn": (
        "KeypointRCNN KeypointRCNNHeads KeypointRCNNPredictor KeypointRCNN_ResNet50_FPN_Weights"
    ),
    "torchvision.models.detection.mask_rcnn": (
        "MaskRCNN MaskRCNNHeads MaskRCNNPredictor MaskRCNN_ResNet50_FPN_V2_Weights MaskRCNN_ResNet50_FPN_Weights"
    ),
    "torchvision.models.detection.retinanet": (
        "RetinaNet RetinaNetClassificationHead RetinaNetHead RetinaNetRegressionHead "
        "RetinaNet_ResNet50_FPN_V2_Weights RetinaNet_ResNet50_FPN_Weights"
    ),
    "torchvision.models.detection.roi_heads": "RoIHeads",
    "torchvision.models.detection.rpn": "AnchorGenerator RPNHead RegionProposalNetwork",
    "torchvision.models.detection.ssd": (
        "SSD SSD300_VGG16_Weights SSDClassificationHead SSDFeatureExtractorVGG SSDHead SSDRegressionHead SSDScoringHead"
    ),
    "torchvision.models.detection.ssdlite": (
        "SSDLite320_MobileNet_V3_Large_Weights SSDLiteClassificationHead SSDLiteFeatureExtractorMobileNet "
        "SSDLiteHead SSDLiteRegressionHead"
    ),
    "torchvision.models.detection.transform": "GeneralizedRCNNTransform",
    "torchvision.models.efficientnet": (
        "EfficientNet EfficientNet_B0_Weights EfficientNet_B1_Weights EfficientNet_B2_Weights "
        "EfficientNet_B3_Weights EfficientNet_B4_Weights EfficientNet_B5_Weights EfficientNet_B6_Weights "
        "EfficientNet_B7_Weights EfficientNet_V2_L_Weights EfficientNet_V2_M_Weights EfficientNet_V2_S_Weights "
        "FusedMBConv FusedMBConvConfig MBConv MBConvConfig _MBConvConfig"
    ),
    "torchvision.models.googlenet": (
        "BasicConv2d GoogLeNet GoogLeNetOutputs GoogLeNet_Weights Inception InceptionAux _GoogLeNetOutputs"
    ),
    "torchvision.models.inception": (
        "BasicConv2d Inception3 InceptionA InceptionAux InceptionB InceptionC InceptionD InceptionE "
        "InceptionOutputs Inception_V3_Weights _InceptionOutputs"
    ),
    "torchvision.models.maxvit": (
        "MBConv MaxVit MaxVitBlock MaxVitLayer MaxVit_T_Weights PartitionAttentionLayer "
        "RelativePositionalMultiHeadAttention SwapAxes WindowDepartition WindowPartition"
    ),
    "torchvision.models.mnasnet": (
        "MNASNet MNASNet0_5_Weights MNASNet0_75_Weights MNASNet1_0_Weights MNASNet1_3_Weights _InvertedResidual"
    ),
    "torchvision.models.mobilenet": "ConvBNReLU InvertedResidual MobileNetV2",
    "torchvision.models.mobilenetv2": "InvertedResidual MobileNetV2 MobileNet_V2_Weights",
    "torchvision.models.mobilenetv3": (
        "InvertedResidual InvertedResidualConfig MobileNetV3 MobileNet_V3_Large_Weights MobileNet_V3_Small_Weights"
    ),
    "torchvision.models.optical_flow.raft": (
        "BottleneckBlock ConvGRU CorrBlock FeatureEncoder FlowHead MaskPredictor MotionEncoder RAFT "
        "Raft_Large_Weights Raft_Small_Weights RecurrentBlock ResidualBlock UpdateBlock"
    ),
    "torchvision.models.quantization.googlenet": (
        "GoogLeNet_QuantizedWeights QuantizableBasicConv2d QuantizableGoogLeNet QuantizableInception "
        "QuantizableInceptionAux"
    ),
    "torchvision.models.quantization.inception": (
        "Inception_V3_QuantizedWeights QuantizableBasicConv2d QuantizableInception3 QuantizableInceptionA "
        "QuantizableInceptionAux QuantizableInceptionB QuantizableInceptionC QuantizableInceptionD "
        "QuantizableInceptionE"
    ),
    "torchvision.models.quantization.mobilenetv2": (
        "MobileNet_V2_QuantizedWeights QuantizableInvertedResidual QuantizableMobileNetV2"
    ),
    "torchvision.models.quantization.mobilenetv3": (
        "MobileNet_V3_Large_QuantizedWeights QuantizableInvertedResidual QuantizableMobileNetV3 "
        "QuantizableSqueezeExcitation"
    ),
    "torchvision.models.quantization.resnet": (
        "QuantizableBasicBlock QuantizableBottleneck QuantizableResNet ResNeXt101_32X8D_QuantizedWeights "
        "ResNeXt101_64X4D_QuantizedWeights ResNet18_QuantizedWeights ResNet50_QuantizedWeights"
    ),
    "torchvision.models.quantization.shufflenetv2": (
        "QuantizableInvertedResidual QuantizableShuffleNetV2 ShuffleNet_V2_X0_5_QuantizedWeights "
        "ShuffleNet_V2_X1_0_QuantizedWeights ShuffleNet_V2_X1_5_QuantizedWeights "
        "ShuffleNet_V2_X2_0_QuantizedWeights"
    ),
    "torchvision.models.regnet": (
        "AnyStage BlockParams BottleneckTransform RegNet RegNet_X_16GF_Weights RegNet_X_1_6GF_Weights "
        "RegNet_X_32GF_Weights RegNet_X_3_2GF_Weights RegNet_X_400MF_Weights RegNet_X_800MF_Weights "
        "RegNet_X_8GF_Weights RegNet_Y_128GF_Weights RegNet_Y_16GF_Weights RegNet_Y_1_6GF_Weights "
        "RegNet_Y_32GF_Weights RegNet_Y_3_2GF_Weights RegNet_Y_400MF_Weights RegNet_Y_800MF_Weights "
        "RegNet_Y_8GF_Weights ResBottleneckBlock SimpleStemIN"
    ),
    "torchvision.models.resnet": (
        "BasicBlock Bottleneck ResNeXt101_32X8D_Weights ResNeXt101_64X4D_Weights ResNeXt50_32X4D_Weights ResNet "
        "ResNet101_Weights ResNet152_Weights ResNet18_Weights ResNet34_Weights ResNet50_Weights "
        "Wide_ResNet101_2_Weights Wide_ResNet50_2_Weights"
    ),
    "torchvision.models.segmentation._utils": "_SimpleSegmentationModel",
    "torchvision.models.segmentation.deeplabv3": (
        "ASPP ASPPConv ASPPPooling DeepLabHead DeepLabV3 DeepLabV3_MobileNet_V3_Large_Weights "
        "DeepLabV3_ResNet101_Weights DeepLabV3_ResNet50_Weights"
    ),
    "torchvision.models.segmentation.fcn": "FCN FCNHead FCN_ResNet101_Weights FCN_ResNet50_Weights",
    "torchvision.models.segmentation.lraspp": "LRASPP LRASPPHead LRASPP_MobileNet_V3_Large_Weights",
    "torchvision.models.shufflenetv2": (
        "InvertedResidual ShuffleNetV2 ShuffleNet_V2_X0_5_Weights ShuffleNet_V2_X1_0_Weights "
        "ShuffleNet_V2_X1_5_Weights ShuffleNet_V2_X2_0_Weights"
    ),
    "torchvision.models.squeezenet": "Fire SqueezeNet SqueezeNet1_0_Weights SqueezeNet1_1_Weights",
    "torchvision.models.swin_transformer": (
        "PatchMerging PatchMergingV2 ShiftedWindowAttention ShiftedWindowAttentionV2 SwinTransformer "
        "SwinTransformerBlock SwinTransformerBlockV2 Swin_B_Weights Swin_S_Weights Swin_T_Weights "
        "Swin_V2_B_Weights Swin_V2_S_Weights Swin_V2_T_Weights"
    ),
    "torchvision.models.vgg": (
        "VGG VGG11_BN_Weights VGG11_Weights VGG13_BN_Weights VGG13_Weights VGG16_BN_Weights VGG16_Weights "
        "VGG19_BN_Weights VGG19_Weights"
    ),
    "torchvision.models.video.mvit": (
        "MSBlockConfig MViT MViT_V1_B_Weights MViT_V2_S_Weights MultiscaleAttention MultiscaleBlock Pool "
        "PositionalEncoding"
    ),
    "torchvision.models.video.resnet": (
        "BasicBlock BasicStem Bottleneck Conv2Plus1D Conv3DNoTemporal Conv3DSimple MC3_18_Weights "
        "R2Plus1D_18_Weights R2Plus1dStem R3D_18_Weights VideoResNet"
    ),
    "torchvision.models.video.s3d": "S3D S3D_Weights SepInceptionBlock3D TemporalSeparableConv",
    "torchvision.models.video.swin_transformer": (
        "PatchEmbed3d ShiftedWindowAttention3d Swin3D_B_Weights Swin3D_S_Weights Swin3D_T_Weights SwinTransformer3d"
    ),
    "torchvision.models.vision_transformer": (
        "ConvStemConfig Encoder EncoderBlock MLPBlock ViT_B_16_Weights ViT_B_32_Weights ViT_H_14_Weights "
        "ViT_L_16_Weights ViT_L_32_Weights VisionTransformer"
    ),
    "torchvision.ops.deform_conv": "DeformConv2d",
    "torchvision.ops.drop_block": "DropBlock2d DropBlock3d",
    "torchvision.ops.feature_pyramid_network": "ExtraFPNBlock FeaturePyramidNetwork LastLevelMaxPool LastLevelP6P7",
    "torchvision.ops.misc": (
        "Conv2dNormActivation Conv3dNormActivation ConvNormActivation FrozenBatchNorm2d MLP Permute SqueezeExcitation"
    ),
    "torchvision.ops.poolers": "LevelMapper MultiScaleRoIAlign",
    "torchvision.ops.ps_roi_align": "PSRoIAlign",
    "torchvision.ops.ps_roi_pool": "PSRoIPool",
    "torchvision.ops.roi_align": "RoIAlign",
    "torchvision.ops.roi_pool": "RoIPool",
    "torchvision.ops.stochastic_depth": "StochasticDepth",
    "torchvision.transforms.transforms": (
        "CenterCrop ColorJitter Compose ConvertImageDtype ElasticTransform FiveCrop GaussianBlur Grayscale Lambda "
        "LinearTransformation Normalize PILToTensor Pad RandomAdjustSharpness RandomAffine RandomApply "
        "RandomAutocontrast RandomChoice RandomCrop RandomEqualize RandomErasing RandomGrayscale "
        "RandomHorizontalFlip RandomInvert RandomOrder RandomPerspective RandomPosterize RandomResizedCrop "
        "RandomRotation RandomSolarize RandomTransforms RandomVerticalFlip Resize TenCrop ToPILImage ToTensor"
    ),
}
