"""A result as a document: scores, latencies, examples, and a description of the run."""

from seg.report.evaluation import evaluation_report, sizes_report
from seg.report.examples import Example, ExampleCollector

__all__ = ["Example", "ExampleCollector", "evaluation_report", "sizes_report"]
