"""What the cards for others hold: the fields of each format in order, and whether the store or a person fills them.

Hugging Face: https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/templates/modelcard_template.md
Annex IV: Regulation (EU) 2024/1689, https://eur-lex.europa.eu/eli/reg/2024/1689/oj
CycloneDX 1.6: https://cyclonedx.org/docs/1.6/json/#components_items_modelCard
"""

from __future__ import annotations

from typing import NamedTuple

TO_WRITE = "to be written by a person"


class Field(NamedTuple):
    """A heading of a card; `by` is store, person, or "" for one that only groups. `level` 0 is a line of a list."""

    name: str
    by: str
    level: int = 2


HUGGING_FACE = (
    Field("Model Details", "", 1),
    Field("Model Description", "store"),
    Field("Developed by", "person", 0),
    Field("Model type", "store", 0),
    Field("License", "person", 0),
    Field("Finetuned from model", "person", 0),
    Field("Model Sources", "", 2),
    Field("Repository", "store", 0),
    Field("Uses", "", 1),
    Field("Direct Use", "store"),
    Field("Downstream Use", "person"),
    Field("Out-of-Scope Use", "person"),
    Field("Bias, Risks, and Limitations", "store", 1),
    Field("Recommendations", "person"),
    Field("How to Get Started with the Model", "store", 1),
    Field("Training Details", "", 1),
    Field("Training Data", "store"),
    Field("Training Procedure", "", 2),
    Field("Preprocessing", "store", 3),
    Field("Training Hyperparameters", "store", 3),
    Field("Speeds, Sizes, Times", "store", 3),
    Field("Evaluation", "", 1),
    Field("Testing Data", "store", 3),
    Field("Factors", "store", 3),
    Field("Metrics", "store", 3),
    Field("Results", "store", 2),
    Field("Model Examination", "store", 1),
    Field("Environmental Impact", "", 1),
    Field("Hardware Type", "person", 0),
    Field("Hours used", "store", 0),
    Field("Carbon Emitted", "person", 0),
    Field("Technical Specifications", "", 1),
    Field("Model Architecture and Objective", "store"),
    Field("Software", "store", 3),
    Field("Citation", "person", 1),
    Field("Model Card Authors", "person", 1),
    Field("Model Card Contact", "person", 1),
)

ANNEX_IV = (
    Field("1. General description of the AI system", ""),
    Field("1(a) Intended purpose and name of the provider", "person", 3),
    Field("1(a) Version, and its relation to previous versions", "store", 3),
    Field("1(b) Interaction with hardware or software that is not part of the system", "person", 3),
    Field("1(c) Versions of relevant software", "store", 3),
    Field("1(d) Forms in which it is placed on the market or put into service", "person", 3),
    Field("1(e) Hardware on which it is intended to run", "person", 3),
    Field("1(f) Illustrations, where it is a component of products", "person", 3),
    Field("1(g) User interface provided to the deployer", "person", 3),
    Field("1(h) Instructions for use for the deployer", "person", 3),
    Field("2. Detailed description of the elements and of the process for its development", ""),
    Field("2(a) Methods and steps of the development", "store", 3),
    Field("2(b) General logic and what it is designed to optimise for", "store", 3),
    Field("2(b) Rationale, assumptions and trade-offs of the design", "person", 3),
    Field("2(c) System architecture and computational resources", "store", 3),
    Field("2(d) Training data sets, their provenance, scope and main characteristics", "store", 3),
    Field("2(d) Selection, labelling and cleaning of the data", "person", 3),
    Field("2(e) Assessment of the human oversight measures", "person", 3),
    Field("2(f) Pre-determined changes", "person", 3),
    Field("2(g) Validation and testing procedures, data and metrics", "store", 3),
    Field("2(g) Test reports, dated and signed by the responsible persons", "person", 3),
    Field("2(h) Cybersecurity measures", "person", 3),
    Field("3. Monitoring, functioning and control", ""),
    Field("3 Capabilities and limitations in performance", "store", 3),
    Field("3 Degrees of accuracy for specific groups", "store", 3),
    Field("3 Foreseeable unintended outcomes and sources of risks", "person", 3),
    Field("3 Human oversight measures", "person", 3),
    Field("3 Specifications on input data", "store", 3),
    Field("4. Appropriateness of the performance metrics", "person"),
    Field("5. Risk management system (Article 9)", "person"),
    Field("6. Relevant changes through the lifecycle", "store"),
    Field("7. Harmonised standards applied", "person"),
    Field("8. EU declaration of conformity (Article 47)", "person"),
    Field("9. Post-market monitoring (Article 72)", "person"),
)

# Paths in the document, below the model's component.
ML_BOM = (
    Field("name", "store"),
    Field("version", "store"),
    Field("description", "store"),
    Field("supplier", "person"),
    Field("licenses", "person"),
    Field("hashes", "store"),
    Field("modelCard.modelParameters.approach", "store"),
    Field("modelCard.modelParameters.task", "store"),
    Field("modelCard.modelParameters.modelArchitecture", "store"),
    Field("modelCard.modelParameters.datasets", "store"),
    Field("modelCard.modelParameters.inputs", "store"),
    Field("modelCard.modelParameters.outputs", "store"),
    Field("modelCard.quantitativeAnalysis.performanceMetrics", "store"),
    Field("modelCard.considerations.users", "person"),
    Field("modelCard.considerations.useCases", "person"),
    Field("modelCard.considerations.technicalLimitations", "store"),
    Field("modelCard.considerations.performanceTradeoffs", "person"),
    Field("modelCard.considerations.ethicalConsiderations", "person"),
    Field("modelCard.considerations.fairnessAssessments", "person"),
    Field("modelCard.properties", "store"),
)
