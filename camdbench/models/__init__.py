"""Where classifiers come from: the zoo, `Classifier`, capture of a layer, target layers."""
