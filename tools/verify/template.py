"""Prints the resources that template.yaml creates, as JSON: after SAM's transform, with moto's CloudFormation resolving
parameters, conditions and functions. Each argument has a set of parameters, as JSON; the result is a list with one object
of resources for each."""

import json
import sys

from moto import mock_aws
from moto.cloudformation.parsing import ResourceMap, clean_json
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

MANAGED = {"AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}


@mock_aws  # an empty account
def resources(parameters):
    with open("template.yaml", encoding="utf-8") as file:
        template = yaml_parse(file)
    if unknown := parameters.keys() - template["Parameters"]:  # moto ignores them
        sys.exit(f"template.yaml has no parameters {unknown}")
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            del resource["Properties"]["CodeUri"]
            resource["Properties"]["InlineCode"] = "uploaded by sam deploy"
    template = Translator(MANAGED, Parser()).translate(template, dict(parameters))
    stack = ResourceMap("stack-id", "verify", parameters, {}, "eu-central-1", "123456789012", template, {})
    stack.load()
    return {
        name: {"Type": resource["Type"], "Properties": clean_json(resource.get("Properties", {}), stack)}
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or stack.lazy_condition_map[resource["Condition"]]
    }


json.dump([resources(json.loads(parameters)) for parameters in sys.argv[1:]], sys.stdout)
